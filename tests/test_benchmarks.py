"""How measured speed is kept and shown. The numbers of these tiny runs mean nothing."""

import argparse
import importlib
import json
from itertools import product

import pytest

from benchmarks import __main__ as everything
from benchmarks import compare, context, faster, int8, llama_cpp, record, results
from minillama import Llama, ModelArgs
from minillama.tokenizer import BaseTokenizer

NAMES = sorted(results.TABLES)
TINY = ["--batches", "1", "--repeats", "1", "--new-tokens", "2", "--no-peak"]


def speed(batch=1, sampler="greedy", ours=250.0, theirs=100.0, linears=500.0, model="course", way="eager"):
    return {"model": model, "way": way, "batch": batch, "sampler": sampler, "ours": ours, "theirs": theirs,
            "linears": linears, "peak": 1234.4, "peak_theirs": None}  # fmt: skip


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
    assert run["notes"] == ["2 new tokens after prompts of 16", "medians of 1"]
    assert [results.key_of("compare", row) for row in run["rows"]] == [
        ("course", "eager", 1, "greedy"),
        ("course", "eager", 1, "sampled"),
    ]
    assert all(row["ours"] > 0 and row["theirs"] > 0 and row["linears"] > 0 for row in run["rows"])
    printed = capsys.readouterr().out
    for row in run["rows"]:
        assert results.line(results.TABLES["compare"].columns, row) in printed
        assert results.line(results.TABLES["compare"].columns, row) in results.document(tmp_path)
    assert results.caption(run) in results.readme_block(tmp_path)


def test_resume_measures_only_what_is_missing(tmp_path, monkeypatch, capsys):
    compare.main([*TINY, "--write", str(tmp_path)])
    path = tmp_path / "compare.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["runs"][0]["rows"][0]
    kept["runs"][0]["rows"][0]["ours"] = 1.5
    path.write_text(json.dumps(kept), encoding="utf-8")
    compare.main([*TINY, "--write", str(tmp_path), "--resume"])
    (run,) = results.read("compare", tmp_path)
    assert {row["sampler"]: row["ours"] == 1.5 for row in run["rows"]} == {"greedy": False, "sampled": True}
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
    assert [(row["batch"], row["ours"]) for row in second["rows"]] == [(8, 999.0)]
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
    assert "| course | eager | 1 | greedy | 250 |" in results.RESULTS.read_text()
    readme = results.README.read_text()
    assert readme.startswith("before\n<!--") and readme.endswith("-->\nafter\n")
    assert "| 1 | greedy | 250 | 100 | 2.50 | 2.0, met |" in readme and "old" not in readme
    with pytest.raises(ValueError, match="README.md needs the two lines"):
        results.with_block("no markers", "block")


@pytest.mark.parametrize(
    ("row", "ratio", "linears"),
    [
        (speed(1, ours=200, theirs=100, linears=333), ("2.00", "2.0, met"), ("60%", "60%, met")),
        (speed(1, ours=199, theirs=100, linears=400), ("1.99", "2.0, missed"), ("50%", "60%, missed")),
        (speed(32, ours=131, theirs=100, linears=200), ("1.31", "1.3, met"), ("66%", "60%, met")),
        (speed(32, ours=129, theirs=100, linears=200), ("1.29", "1.3, missed"), ("64%", "60%, met")),
        (speed(8, ours=90, theirs=100, linears=200), ("0.90", ""), ("45%", "60%, missed")),
        (speed(1, ours=90, theirs=100, linears=200, model="110M"), ("0.90", ""), ("45%", "")),
    ],
)
def test_targets_stand_beside_what_was_measured(tmp_path, row, ratio, linears):
    keep(tmp_path, [row])
    found = cells(results.document(tmp_path), [row["model"], "eager", str(row["batch"])])
    assert tuple(found[6:8]) == ratio and tuple(found[9:11]) == linears
    assert found[11:] == ["1,234", "–"]


def test_the_readme_has_four_rows_in_order_whatever_else_is_kept(tmp_path):
    assert "Not measured yet" in results.readme_block(tmp_path)
    rows = [speed(batch, sampler, way=way, model=model) for batch in (32, 8, 1) for sampler in ("sampled", "greedy")
            for way in ("int8", "eager") for model in ("110M", "course")]  # fmt: skip
    keep(tmp_path, rows)
    lines = results.readme_block(tmp_path).splitlines()
    assert [line.split(" | ")[:2] for line in lines if line.startswith("| ")][1:] == [
        ["| 1", "greedy"], ["| 1", "sampled"], ["| 32", "greedy"], ["| 32", "sampled"],
    ]  # fmt: skip
    assert "medians of 1." in lines[1]


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


def test_all_measures_each_command_and_says_which_failed(monkeypatch, capfd):
    called = []

    def run(command):
        called.append(command[2:])
        return argparse.Namespace(returncode="int8" in command[2])

    monkeypatch.setattr(everything.subprocess, "run", run)
    assert everything.main(["--write", "there", "--resume"]) == 1
    assert [" ".join(each) for each in called] == [
        f"benchmarks.{command} --write there --resume" for command in everything.SHORT
    ]
    assert capfd.readouterr().err == "failed: python -m benchmarks.int8 --texts 40\n"
    called.clear()
    assert everything.main([]) == 1 and "--write" not in called[0]


# ---- llama.cpp: what its comparison stands on; no test needs the program itself --------------------------------------


def test_llama_cpp_says_what_is_missing(tmp_path, capsys):
    (tmp_path / llama_cpp.CONVERTER).touch()
    with pytest.raises(SystemExit) as end:
        llama_cpp.main([str(tmp_path), str(tmp_path / "bin")])
    said = capsys.readouterr().err
    assert end.value.code == 2 and str(tmp_path / "bin" / "llama-server") in said and "benchmarks/README.md" in said
    with pytest.raises(SystemExit) as end:
        llama_cpp.main(["--help"])
    assert end.value.code == 0 and "python -m benchmarks.llama_cpp" in capsys.readouterr().out


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
    assert [(row["model"], row["way"]) for row in kept["rows"]] == list(product(faster.MODELS, compare.WAYS))
    for row in kept["rows"]:
        assert row["speed"] > 0 and row["start"] > 0 and (row["again"] > 0) == (row["way"] == "compile")


def test_a_tiny_run_of_what_is_recorded(tmp_path, capsys):
    few = ["--models", "course", "--ways", "eager", "int8", "--new-tokens", "3", "--repeats", "1"]
    faster.main([*few, "--write", str(tmp_path / "new" / "15.json")])
    kept = json.loads((tmp_path / "new" / "15.json").read_text(encoding="utf-8"))
    rows = [(row["model"], row["way"], row["again"]) for row in kept["rows"]]
    assert rows == [("course", "eager", 0), ("course", "int8", 0)]
    assert all(row["speed"] > 0 and row["start"] > 0 for row in kept["rows"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == kept["rows"]
    assert kept["command"] == "python -m benchmarks.faster --write"
