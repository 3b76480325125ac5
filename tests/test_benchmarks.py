"""How measured speed is kept and shown. The numbers of these tiny runs mean nothing."""

import argparse
import importlib
import json
import os
from itertools import product

import pytest
import torch

from benchmarks import __main__ as everything
from benchmarks import compare, context, faster, int8, llama_cpp, peers, record, results, steering, targets
from minillama import Llama, ModelArgs
from minillama.int8 import is_int8
from minillama.tokenizer import BaseTokenizer

NAMES = sorted(results.TABLES)
TINY = ["--batches", "1", "--repeats", "1", "--new-tokens", "3", "--no-peak"]


def speed(batch=1, sampler="greedy", ours=250.0, theirs=100.0, linears=500.0, model="course", way="eager", threads=1,
          **more):  # fmt: skip
    return {"model": model, "threads": threads, "batch": batch, "sampler": sampler, "way": way, "new_tokens": 200,
            "minillama": ours, "transformers": theirs, "linears": linears, "peak": 1234.4,
            "peak transformers": None} | more  # fmt: skip


def keep(folder, rows, *options, name="compare", notes=("medians of 1",)):
    kept = record.Record(name, [*options, "--write", str(folder)], notes)
    for row in rows:
        kept.add(row)
    return kept


def cells(text, first):
    """The cells of the table row that begins with these."""
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {' | '.join(first)} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_results_and_readme_are_what_the_json_gives():
    assert results.RESULTS.read_text(encoding="utf-8") == results.document(results.FOLDER), "call make results"
    readme = results.README.read_text(encoding="utf-8")
    assert readme == results.with_block(readme, results.readme_block(results.FOLDER)), "call make results"


def test_a_tiny_run_is_printed_and_kept(tmp_path, capsys):
    compare.main([*TINY, "--write", str(tmp_path)])
    (run,) = results.read("compare", tmp_path)
    assert run["command"] == "python -m benchmarks.compare " + " ".join(TINY)
    assert {"processor", "threads", "torch", "transformers", "python"} <= run["machine"].keys()
    assert run["notes"] == ["3 new tokens after prompts of 16", "medians of 1"]
    threads = run["machine"]["threads"]
    assert [results.key_of("compare", row) for row in run["rows"]] == [
        ("course", threads, 1, "greedy", "eager"),
        ("course", threads, 1, "sampled", "eager"),
    ]
    assert all(row["minillama"] > 0 and row["transformers"] > 0 and row["linears"] > 0 for row in run["rows"])
    assert [row.get("same transformers") for row in run["rows"]] == [3, None]
    columns, printed = results.TABLES["compare"].columns, capsys.readouterr().out
    assert all(results.line(columns, row) in printed for row in run["rows"])
    assert results.table(columns, run["rows"]) in results.document(tmp_path)
    assert results.caption(run) in results.readme_block(tmp_path)


def test_resume_measures_only_what_is_missing(tmp_path, monkeypatch, capsys):
    compare.main([*TINY, "--write", str(tmp_path)])
    path = tmp_path / "compare.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["runs"][0]["rows"][0]
    kept["runs"][0]["rows"][0]["minillama"] = 1.5
    path.write_text(json.dumps(kept), encoding="utf-8")
    compare.main([*TINY, "--write", str(tmp_path), "--resume"])
    (run,) = results.read("compare", tmp_path)
    assert {row["sampler"]: row["minillama"] == 1.5 for row in run["rows"]} == {"greedy": False, "sampled": True}
    monkeypatch.setattr(compare, "build", None)  # nothing is left to build
    compare.main([*TINY, "--write", str(tmp_path), "--resume"])
    assert results.read("compare", tmp_path) == [run]


def test_resume_does_not_take_another_days_rows_for_its_own(tmp_path):
    keep(tmp_path, [speed()])
    path = tmp_path / "compare.json"
    path.write_text(path.read_text().replace(record.date.today().isoformat(), "2020-01-01"))
    again = record.Record("compare", ["--write", str(tmp_path), "--resume"])
    assert again.kept() == set()


def test_a_row_that_is_measured_again_replaces_the_old_one_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "publish", None)  # a folder of one's own changes no page
    keep(tmp_path, [speed(1), speed(8), speed(32)], "--batches", "1", "8", "32")
    keep(tmp_path, [speed(8, ours=999.0)], "--batches", "8")
    first, second = results.read("compare", tmp_path)
    assert [row["batch"] for row in first["rows"]] == [1, 32]
    assert [(row["batch"], row["minillama"]) for row in second["rows"]] == [(8, 999.0)]
    keep(tmp_path, [speed(1), speed(32)], "--batches", "1", "32")
    assert [run["command"].split()[-1] for run in results.read("compare", tmp_path)] == ["8", "32"], (
        "no empty run stays"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare.json"]


def test_a_run_without_write_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FOLDER", tmp_path / "results")
    record.Record("compare", []).add(speed())
    assert list(tmp_path.iterdir()) == []


def test_write_without_a_folder_publishes(tmp_path, monkeypatch):
    for module in (record, results):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    results.README.write_text(f"before\n{results.START}\nold\n{results.END}\nafter\n")
    record.Record("compare", ["--write"]).add(speed())
    assert "| course | 1 | 1 | greedy | eager | 250 | 100 (2.50) |" in results.RESULTS.read_text()
    readme = results.README.read_text()
    assert readme.startswith("before\n<!--") and readme.endswith("-->\nafter\n")
    assert "| 1 | greedy | 250 | 100 | 2.50 |" in readme and "old" not in readme
    with pytest.raises(ValueError, match="README.md needs the two lines"):
        results.with_block("no markers", "block")


def targets_table(text):
    """{figure: (wanted, measured, verdict)} of RESULTS.md."""
    part = text.partition("## Targets")[2].partition("## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return {figure: tuple(rest) for figure, *rest in rows[2:]}


@pytest.mark.parametrize(
    ("row", "figure", "measured", "verdict", "in_row"),
    [
        (speed(ours=180), "course, eager, batch 1, 1 thread / transformers", "1.80", "met",
         "transformers at least 1.8: met"),
        (speed(ours=179), "course, eager, batch 1, 1 thread / transformers", "1.79", "missed",
         "transformers at least 1.8: missed"),
        (speed(32, ours=199, way="compile"), "course, compile, batch 32, 1 thread / transformers", "1.99", "missed",
         "transformers at least 2: missed"),
        (speed(way="compile", ours=400), "course, compile, batch 1, 1 thread: time of a token / its linears", "1.25",
         "met", "linears at most 1.25: met"),
        (speed(way="compile", ours=390), "course, compile, batch 1, 1 thread: time of a token / its linears", "1.28",
         "missed", "linears at most 1.25: missed"),
        (speed(model="110M", way="compile+int8", ours=80, **{"llama.cpp Q8_0": 100.0}),
         "110M, compile+int8, batch 1, 1 thread / llama.cpp Q8_0", "0.80", "met", "llama.cpp Q8_0 at least 0.8: met"),
        (speed(model="smollm2", way="compile", ours=99, **{"llama.cpp f32": 100.0}),
         "smollm2, compile, batch 1, 1 thread / llama.cpp f32", "0.99", "missed", "llama.cpp f32 at least 1: missed"),
    ],
)  # fmt: skip
def test_a_target_stands_beside_what_was_measured(tmp_path, row, figure, measured, verdict, in_row):
    keep(tmp_path, [row])
    text = results.document(tmp_path)
    found = targets_table(text)
    assert found.pop(figure)[1:] == (measured, verdict)
    assert len(found) == len(targets.TARGETS) - 1
    assert all(rest[1:] == ("–", "not measured") for rest in found.values())
    first = [str(row[name]) for name in ("model", "threads", "batch", "sampler", "way")]
    assert in_row in cells(text, first)


def test_other_rows_have_no_target(tmp_path):
    others = [speed(8), speed(sampler="sampled"), speed(threads=2), speed(model="110M"), speed(way="int8")]
    keep(tmp_path, others)
    text = results.document(tmp_path)
    assert set(rest[1:] for rest in targets_table(text).values()) == {("–", "not measured")}
    assert "at least" not in text.partition("## Tokens a second")[2]


def test_two_threads_are_judged_by_the_row_of_one(tmp_path):
    figure = "course, compile, batch 1, 2 threads / one thread"
    keep(tmp_path, [speed(way="compile", threads=2, ours=99)])
    assert targets_table(results.document(tmp_path))[figure][1:] == ("–", "not measured")
    keep(tmp_path, [speed(way="compile", threads=1, ours=100)])
    assert targets_table(results.document(tmp_path))[figure][1:] == ("0.99", "missed")


def test_what_no_row_has_gets_no_column(tmp_path):
    row = speed(8, **{"llama.cpp Q8_0": 500.0, "same transformers": 1600, "same llama.cpp Q8_0": 57})
    keep(tmp_path, [row, speed(8, "sampled")])
    text = results.document(tmp_path)
    assert cells(text, ["course", "1", "8", "greedy"]) == [
        "course", "1", "8", "greedy", "eager", "250", "100 (2.50)", "500 (0.50)", "500", "2.00",
        "transformers: yes; llama.cpp Q8_0: 57 of 1600", "1,234",
    ]  # fmt: skip
    assert cells(text, ["course", "1", "8", "sampled"])[-5:] == ["–", "500", "2.00", "–", "1,234"]
    assert "CTranslate2 f32" not in text.partition("| model |")[2]


def test_the_readme_has_four_rows_in_order_whatever_else_is_kept(tmp_path):
    assert "Not measured yet" in results.readme_block(tmp_path)
    rows = [speed(batch, sampler, way=way, model=model) for batch in (32, 8, 1) for sampler in ("sampled", "greedy")
            for way in ("int8", "eager") for model in ("110M", "course")]  # fmt: skip
    keep(tmp_path, rows)
    keep(tmp_path, [speed(1, threads=4, ours=444.0)], "--threads", "4", notes=["four threads"])
    lines = results.readme_block(tmp_path).splitlines()
    assert [line.split(" | ")[:2] for line in lines if line.startswith("| ")][1:] == [
        ["| 1", "greedy"], ["| 1", "sampled"], ["| 32", "greedy"], ["| 32", "sampled"],
    ]  # fmt: skip
    assert "medians of 1." in lines[1] and "four threads." in lines[1]
    assert [line.split(" | ")[2] for line in lines if line.startswith("| 1 |")] == ["444", "250"]


def test_int8_and_context_keep_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(int8.smollm2, "find", lambda: None)
    int8.main(["--texts", "1", "--write", str(tmp_path)])
    (run,) = results.read("int8", tmp_path)
    before, after = run["rows"]
    assert (before["weights"], after["weights"]) == ("float32", "int8")
    assert after["bytes"] < before["bytes"] / 3 and after["perplexity"] == pytest.approx(before["perplexity"], rel=0.05)

    small = ModelArgs(dim=16, n_layers=1, n_heads=2, vocab_size=32, max_seq_len=16)
    monkeypatch.setattr(context, "SHAPE_110M", small)
    monkeypatch.setattr(context, "CONTEXTS", (2, 8))
    monkeypatch.setattr(context, "copy_bandwidth", lambda device: 30e9)
    context.main(["--repeats", "1", "--write", str(tmp_path)])
    (run,) = results.read("context", tmp_path)
    assert [(row["context"], row["cache_bytes"]) for row in run["rows"]] == [(2, 256), (8, 1024)]
    assert run["rows"][1]["explained"] == pytest.approx(run["rows"][0]["ms"] + 768 / 30e6, rel=1e-4)
    assert "a plain copy moves 30.0 GB/s" in run["notes"]
    assert (tmp_path / "context.svg").read_text().count("explained by the bytes")
    assert "(results/context.svg)" in results.document(tmp_path) and "| 2 |" in results.document(tmp_path)


def test_penalties_keep_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(steering, "STEPS", 3)
    steering.main(["--repeats", "2", "--batches", "2", "--write", str(tmp_path)])
    (run,) = results.read("steering", tmp_path)
    rows = {row["setting"]: row for row in run["rows"]}
    assert rows.keys() == steering.SETTINGS.keys() and rows["none"]["more"] == 0
    assert all((row["transformers"] is None) == (name not in steering.THEIRS) for name, row in rows.items())
    assert rows["logit_bias"]["more"] == pytest.approx(rows["logit_bias"]["step"] - rows["none"]["step"], abs=0.01)
    assert "| 2 | no_repeat_ngram_size |" in results.document(tmp_path)


class Parsed(Exception):
    pass


@pytest.mark.parametrize("command", [*everything.SHORT, *everything.LONG])
def test_the_commands_of_the_two_runs_exist(command, monkeypatch):
    name, *options = command.split()
    module, parse = importlib.import_module(f"benchmarks.{name}"), argparse.ArgumentParser.parse_args

    def stop(self, argv):
        parse(self, argv)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Parsed):
        module.main([*options, "--write", "somewhere", "--resume"])


@pytest.mark.parametrize("name", NAMES)
def test_help_says_how_to_keep_the_rows(name, capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert f"python -m benchmarks.{name}" in printed and "--write" in printed and "--resume" in printed


def test_all_measures_each_command_and_says_which_failed(tmp_path, monkeypatch, capfd):
    called = []

    def run(command):
        called.append(command[2:])
        return argparse.Namespace(returncode="int8" in command[2])

    monkeypatch.setattr(everything.subprocess, "run", run)
    monkeypatch.setattr(compare.peers, "llama_cpp_source", lambda binaries: binaries)
    assert everything.main(["--write", "there", "--resume", "--peer", f"llama.cpp={tmp_path}"]) == 1
    given = {command: f" --peer=llama.cpp={tmp_path}" * command.startswith("compare") for command in everything.SHORT}
    assert [" ".join(each) for each in called] == [
        f"benchmarks.{command}{peer} --write there --resume" for command, peer in given.items()
    ]
    assert capfd.readouterr().err == "failed: python -m benchmarks.int8 --texts 40\n"
    called.clear()
    assert everything.main([]) == 1 and "--write" not in called[0]


# ---- other programs: what is asked of them, and what is timed --------------------------------------------------------


def test_the_clock_begins_when_the_prompt_has_been_read(monkeypatch):
    clock, hooks = [0.0], []
    monkeypatch.setattr(peers.time, "perf_counter", lambda: clock[0])

    class Slow(torch.nn.Linear):
        def forward(self, x):
            hooks.append(len(self._forward_hooks))
            clock[0] += 100 if len(x) > 1 else 1
            return super().forward(x)

    slow = Slow(1, 1)

    def generate():
        for rows in (16, 1, 1, 1):
            slow(torch.zeros(rows, 1))
        return [[5, 6, 7, 8]]

    for _ in range(2):
        assert peers.decoding(slow, generate) == peers.Made(3.0, [[5, 6, 7, 8]])
    assert hooks == [1, 0, 0, 0] * 2, "a hook that stays costs every call"


def test_the_runners_make_what_they_time():
    llamas = compare.in_ways(["eager", "int8"], "3.6M", 2, "cpu")
    assert (is_int8(llamas["eager"].model), is_int8(llamas["int8"].model)) == (False, True)
    again, weights = compare.build("3.6M", 2, "cpu"), llamas["eager"].model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in again.model.state_dict().items())

    llama, prompts = llamas["eager"], compare.some_prompts(llamas["eager"], 2)
    assert [len(prompt) for prompt in prompts] == [compare.PROMPT] * 2
    made, theirs = (run(prompts, 4, "greedy") for run in (peers.minillama(llama), peers.transformers(llama)))
    assert made.ids == llama.generate(prompts, 4, temperature=0)[0] == theirs.ids and made.seconds > 0 < theirs.seconds
    sampled = peers.transformers(llama)(prompts, 4, "sampled").ids
    assert [len(row) for row in sampled] == [4, 4] and sampled != theirs.ids
    ran = []
    for layer in llama.model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda layer, x, y: ran.append(y.shape))
    assert peers.linears(llama)(prompts, 4, "greedy").seconds > 0
    assert len(ran) == 3 * (7 * 4 + 1) and {shape[:2] for shape in ran} == {(2, 1)}  # a forward less than new tokens


@pytest.mark.full
def test_a_number_of_threads_gets_a_process(tmp_path):
    command = ["--models", "3.6M", *TINY, "--threads", "1", "2", "--write", str(tmp_path)]
    assert compare.main(command) == 0
    runs = results.read("compare", tmp_path)
    assert [run["machine"]["threads"] for run in runs] == [1, 2]
    assert [{row["threads"] for row in run["rows"]} for run in runs] == [{1}, {2}]
    assert [run["command"].partition("--threads ")[2] for run in runs] == ["1", "2"]


def test_the_command_is_kept_without_the_folders_of_this_machine():
    argv = ["--peer", "llama.cpp=/a/b", "--peer=ctranslate2=/c", "--write=/d", "--made", "/e"]
    assert compare.named(argv) == ["--peer", "llama.cpp=FOLDER", "--peer=ctranslate2=FOLDER", "--write=/d"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("vllm=/", "'vllm=/' names no peer; give llama.cpp=FOLDER"),
        ("llama.cpp=/nowhere", "there is no /nowhere/llama-server; benchmarks/README.md says how"),
        ("ctranslate2=/nowhere", "there is no package ctranslate2 in '/nowhere'"),
    ],
)
def test_a_peer_that_is_not_there_is_named(given, said, capsys):
    with pytest.raises(SystemExit) as end:
        compare.main(["--peer", given])
    assert end.value.code == 2 and said in capsys.readouterr().err


def test_one_token_is_too_few(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--new-tokens", "1"])
    assert "--new-tokens is 1; the first token is not timed" in capsys.readouterr().err


def test_a_reply_of_llama_server_is_read():
    """Its fields as tools/server/server-task.cpp and server-common.cpp write them; the rows come as they end."""

    def row(index, tokens, ms):
        timings = {"prompt_n": 16, "prompt_ms": 7.5, "predicted_n": len(tokens), "predicted_ms": ms}
        return {"index": index, "content": "", "tokens": tokens, "stop": True, "timings": timings}

    assert peers.decoded([row(1, [8, 9], 30.0), row(0, [5, 6], 40.0)], 2) == peers.Made(0.04, [[5, 6], [8, 9]])
    assert peers.decoded(row(0, [5, 6], 40.0), 2).ids == [[5, 6]], "one prompt alone is no list"
    with pytest.raises(SystemExit, match="llama-server made 2 tokens, expected 3"):
        peers.decoded([row(0, [5, 6, 7], 40.0), row(1, [5, 6], 40.0)], 3)
    said = "load_backend: loaded CPU\nversion: b9999 (build 9999, commit abc)\nbuilt with GNU"
    assert peers.version_in(said) == "b9999 (build 9999, commit abc)"
    assert peers.version_in("") == "of no known version"


def test_names_at_which_llama_cpp_ends_a_text_are_taken_out(tmp_path):
    def field(text):
        return len(text).to_bytes(8, "little") + text

    whole = [b"GGUF", field(b"a template with </s>"), field(b"</s>"), field(b"<|im_end|>"), b"</s>" * 3]
    (tmp_path / "file").write_bytes(b"".join(whole))
    peers.without_ends(tmp_path / "file")
    whole[2:4] = [field(b"<-->"), field(b"<-------->")]
    assert (tmp_path / "file").read_bytes() == b"".join(whole)


GIVEN = [
    f"{name}={os.environ[variable]}"
    for name, variable in {"llama.cpp": "MINILLAMA_LLAMA_CPP", "ctranslate2": "MINILLAMA_CTRANSLATE2"}.items()
    if variable in os.environ
]


@pytest.mark.skipif(not GIVEN, reason="MINILLAMA_LLAMA_CPP and MINILLAMA_CTRANSLATE2 name no folder")
@pytest.mark.parametrize("model", ["course", "3.6M"])
def test_the_other_programs_write_the_same_text(model, tmp_path):
    options = ["--models", model, "--batches", "1", "3", "--repeats", "1", "--new-tokens", "40", "--no-peak"]
    options += [f"--peer={given}" for given in GIVEN]
    assert compare.main([*options, "--write", str(tmp_path)]) == 0
    (run,) = results.read("compare", tmp_path)
    figures = [figure for given in GIVEN for figure in peers.PEERS[given.split("=")[0]]]
    assert len(run["rows"]) == 4 and str(tmp_path) not in json.dumps(run)
    for row in run["rows"]:
        assert all(row[figure] > 0 for figure in figures)
        if row["sampler"] == "greedy":
            same = {figure: row[f"same {figure}"] for figure in figures if "f32" in figure}
            assert same == dict.fromkeys(same, 40 * row["batch"])


# ---- llama.cpp: what its comparison stands on; no test needs the program itself --------------------------------------


def test_llama_cpp_says_what_is_missing(tmp_path, capsys):
    binaries = tmp_path / "build" / "bin"
    with pytest.raises(SystemExit) as end:
        llama_cpp.main([str(binaries)])
    said = capsys.readouterr().err
    assert end.value.code == 2 and str(binaries / "llama-server") in said and "benchmarks/README.md" in said
    with pytest.raises(SystemExit) as end:
        llama_cpp.main(["--help"])
    assert end.value.code == 0 and "python -m benchmarks.llama_cpp" in capsys.readouterr().out


def test_the_converter_is_found_from_the_binaries(tmp_path):
    binaries, source = tmp_path / "build" / "bin", tmp_path / "source"
    binaries.mkdir(parents=True), source.mkdir()
    for name in ("llama-server", "llama-quantize"):
        (binaries / name).touch()
    with pytest.raises(ValueError, match="CMakeCache.txt does not lead to convert_hf_to_gguf.py"):
        peers.llama_cpp_source(binaries)
    (tmp_path / "build" / "CMakeCache.txt").write_text(f"A:STRING=b\nCMAKE_HOME_DIRECTORY:INTERNAL={source}\n")
    with pytest.raises(ValueError, match="CMakeCache.txt does not lead to"):
        peers.llama_cpp_source(binaries)
    (source / peers.CONVERTER).touch()
    assert peers.llama_cpp_source(binaries) == source


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["a", "b"], [True, True]),
        (["早", "安"], [True, True]),
        ([b"\xe6", b"\x97", b"\xa9", "a"], [False, False, True, True]),
        ([b"a\xe6\x97", b"\xa9\xe5"], [False, False]),
        ([b"\xc3", b"\xa9"], [False, True]),
        ([b"\xf0", b"\x9f", b"\x99", b"\x82"], [False, False, False, True]),
        ([b"\xe6", "a", "b"], [False, False, True]),  # no text at all; three bytes are waited for all the same
        ([b"\xff", b"\x80"], [True, True]),  # begins nothing
        ([b"\xe6", ""], [False, False]),  # the end comes after half a character
    ],
)
def test_where_llama_server_tells_log_p(pieces, whole):
    tokenizer = BaseTokenizer([piece if isinstance(piece, bytes) else piece.encode() for piece in pieces])
    assert llama_cpp.ends_whole(tokenizer, list(range(len(pieces)))) == whole


def test_our_half_of_the_comparison_is_what_generate_does():
    llama = Llama.build(max_batch_size=1, device="cpu")
    prompt = llama.tokenizer.encode("从前", bos=True, eos=False)
    (ids,), (logprobs,) = llama.generate([prompt], 5, temperature=0, logprobs=True)
    run = llama_cpp.run_ours(llama, prompt, 5)
    assert run.ids == ids and run.text == llama.tokenizer.decode_bytes(ids).decode(errors="replace")
    assert run.logprobs == pytest.approx(logprobs, abs=1e-4) and len(run.gaps) == 5 and min(run.gaps) > 0
    llama.tokenizer.stop_ids = (next(i for i in ids if i != ids[0]),)
    ended = llama_cpp.run_ours(llama, prompt, 5)
    n = len(ended.ids)
    assert ended.ids == ids[:n] and ended.ids[-1] == llama.tokenizer.stop_ids[0] and 1 < n  # with the one that ends it
    assert ended.logprobs == pytest.approx(run.logprobs[:n], abs=1e-4) and len(ended.gaps) == n
    assert ended.text == llama.tokenizer.decode_bytes(ids[: n - 1]).decode(errors="replace")


def test_a_row_of_runs_says_where_they_part(capsys):
    run = llama_cpp.Run([5, 6, 7], "one", [-1.0, None, -3.0], [0.5, None, 0.25])
    others = [
        run,
        run._replace(logprobs=[-1.5, -2.0, -3.0], text="one\ufffd"),  # half a character is no difference
        run._replace(ids=[5, 6, 8], logprobs=[-1.0, None, -9.0], gaps=[0.5, None, 0.125]),
        run._replace(ids=[5, 9, 7], logprobs=[-1.0, -9.0, -9.0]),
        run._replace(ids=[5, 6], logprobs=[-1.0, None], gaps=[0.5, None]),
        run._replace(text="two"),
    ]
    runs = {"a": [run] * len(others), "b": others, "same": others[:2]}
    assert not llama_cpp.show_runs("a", "b", runs)
    said = [cell.strip() for cell in capsys.readouterr().out.strip().strip("|").split("|")]
    assert said[:4] == ["a", "b", "2 of 6", "5.0e-01"]
    assert said[4].split("; ") == [
        "prompt 3 at token 3 (0.2500 and 0.1250)",
        "prompt 4 at token 2 (not told and not told)",
        "prompt 5 at token 3 (0.2500 and it has ended)",
        "prompt 6, of the same ids",
    ]
    assert llama_cpp.show_runs("a", "same", {"a": [run] * 2, "same": others[:2]})
    assert "| 2 of 2 |" in capsys.readouterr().out


def test_a_row_of_ids_shows_the_text(capsys):
    assert llama_cpp.show_ids("x", [[1, 2]], [[1, 2]], ["equal"])
    assert not llama_cpp.show_ids("y", [[1, 2], [3]], [[1, 2], [3, 4]], ["equal", "other"])
    assert capsys.readouterr().out == "| x | 1 of 1 |  |\n| y | 1 of 2 | at token 2 of 'other' |\n"
    assert not llama_cpp.show_answers("z", [" a", "b"], ["a", "c"])
    assert capsys.readouterr().out == "| z | 1 of 2 | dialog 2 |\n"


def test_what_notebook_15_shows_has_every_row():
    kept = json.loads(faster.FILE.read_text(encoding="utf-8"))
    assert kept.keys() == {"command", "date", "machine", "rows"}
    assert {"processor", "threads", "torch"} <= kept["machine"].keys()
    assert [(row["model"], row["way"]) for row in kept["rows"]] == list(product(faster.MODELS, faster.WAYS))
    for row in kept["rows"]:
        assert row["speed"] > 0 and row["start"] > 0 and (row["again"] > 0) == (row["way"] == "compile")


@pytest.mark.full
def test_a_tiny_run_of_what_is_recorded(tmp_path, capsys):
    few = ["--models", "course", "--ways", "eager", "int8", "--new-tokens", "3", "--repeats", "1"]
    faster.main([*few, "--write", str(tmp_path / "new" / "15.json")])
    kept = json.loads((tmp_path / "new" / "15.json").read_text(encoding="utf-8"))
    rows = [(row["model"], row["way"], row["again"]) for row in kept["rows"]]
    assert rows == [("course", "eager", 0), ("course", "int8", 0)]
    assert all(row["speed"] > 0 and row["start"] > 0 for row in kept["rows"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == kept["rows"]
    assert kept["command"] == "python -m benchmarks.faster --write"


@pytest.mark.parametrize("name", compare.RANDOM)
def test_a_random_model_has_a_tokenizer_of_its_size(name):
    n_words = compare.RANDOM[name].vocab_size
    tokenizer = compare.tokenizer_for(n_words)
    assert (tokenizer.n_words, tokenizer.stop_ids) == (n_words, ())
    assert tokenizer.decode([n_words - 1]) == ""
