"""The claims of the README, in both languages, computed. `python -m tests.test_readme` writes what is true now into
them; read them then."""

import io
import json
import math
import re
import shlex
import textwrap
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import nbformat
import pytest
import torch

from book.build import BUILD
from minillama import COURSE_MODEL, Llama
from minillama.__main__ import main
from minillama.chat import encode_dialog
from minillama.course import SHORT_ROUTE
from tests.notebooks.minutes import minutes

ROOT = Path(__file__).parents[1]
README = {"README.md": "notebooks", "README.zh.md": "notebooks/zh"}  # and where the notebooks of its language are
TEXT = {name: (ROOT / name).read_text(encoding="utf-8") for name in README}
CONSOLE = re.compile(r"(?<=```console\n).*?(?=```)", re.S)
COMMAND = re.compile(r"^\$ python -m minillama (.*)\n", re.M)
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


@cache
def course() -> Llama:
    return Llama.build(COURSE_MODEL, max_batch_size=1, device="cpu", dtype=torch.float32)


@torch.no_grad()
def largest_error() -> float:
    """The largest distance between a known next-token probability and the model's, over all prompts."""
    llama, worst = course(), 0.0
    known = json.loads((COURSE_MODEL / "known_probabilities.json").read_text(encoding="utf-8"))
    for entry, said, options in [place for each in known["prompts"] for place in places(each)]:
        prompt, *texts = [tokens(llama, entry, text) for text in (said, *((said or "") + o["text"] for o in options))]
        probs = llama.model(torch.tensor([prompt]), 0)[0, -1].softmax(dim=-1)  # (vocab_size,)
        for ids, option in zip(texts, options, strict=True):
            assert ids[: len(prompt)] == prompt
            worst = max(worst, abs(probs[ids[len(prompt)]].item() - option["probability"]))
    return worst


def places(entry: dict) -> list[tuple[dict, str | None, list[dict]]]:
    """(entry, said, options): what may follow the prompt, and what may follow an option with a second level."""
    deeper = [(entry, option["text"], option["then"]) for option in entry["options"] if "then" in option]
    return [(entry, None, entry["options"]), *deeper]


def tokens(llama: Llama, entry: dict, option: str | None) -> list[int]:
    """The ids of a known prompt, or with one of its options after it."""
    if entry["kind"] == "text":
        return llama.tokenizer.encode(entry["prompt"] + (option or ""), bos=True, eos=False)
    dialog = entry["dialog"]
    if option is not None:  # the next question only closes the answer: what is encoded ends with the user
        dialog = [*dialog, {"role": "assistant", "content": option}, {"role": "user", "content": "?"}]
    return encode_dialog(llama.tokenizer, dialog)


def parameters() -> int:
    return sum(parameter.numel() for parameter in course().model.parameters())


def hours(numbers: set[int]) -> str:
    """What the notebooks of these numbers take together, by the rule of their minutes."""
    paths = [ROOT / "notebooks" / name for name in NOTEBOOKS if int(name[:2]) in numbers]
    return f"{sum(minutes(nbformat.read(path, as_version=4)) for path in paths) / 60:.0f}"


CLAIMS = {  # a pattern for each language, and what is true
    "parameters": (
        (r"trained model of ([\d.]+) million parameters", r"只有 ([\d.]+) 百万个参数"),
        lambda: f"{parameters() / 1e6:.1f}",
    ),
    "known probabilities": (
        (r"within ([\d.]+) of those", r"相差不到 ([\d.]+)。"),
        lambda: f"{math.ceil(100 * largest_error()) / 100:.2f}",
    ),
    "short route": ((r"takes about (\d+) hours", r"当作黑盒，大约要 (\d+) 小时"), lambda: hours(SHORT_ROUTE)),
    "full route": (
        (r"in order, about (\d+)\.", r"学完全部，大约 (\d+) 小时"),
        lambda: hours({int(name[:2]) for name in NOTEBOOKS}),
    ),
    "python": (
        (r"Python ([\d.]+) or newer", r"Python ([\d.]+) 或更新"),
        lambda: re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1],
    ),
    "python of the book": (
        (r"Python ([\d.]+) or later", r"Python ([\d.]+) 及以上"),
        lambda: re.search(r"sphinx==\S+; python_version >= '([\d.]+)'", (ROOT / "pyproject.toml").read_text())[1],
    ),
    "pages of the book": ((r"`(book/\S+\.html)`",) * 2, lambda: f"{BUILD.relative_to(ROOT)}/html/index.html"),
    "the book in one file": ((r"`(book/\S+\.zip)`",) * 2, lambda: f"{BUILD.relative_to(ROOT)}/minillama-book.zip"),
}


def output_of(command: str) -> str:
    """What `python -m minillama COMMAND` prints."""
    with redirect_stdout(io.StringIO()) as printed:
        assert main(shlex.split(command)) == 0
    return printed.getvalue()


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_number_is_what_the_code_says(claim):
    patterns, compute = CLAIMS[claim]
    for pattern, text in zip(patterns, TEXT.values(), strict=True):
        (found,) = re.findall(pattern, text)
        assert found == compute()


def shown(text: str) -> list[tuple[str, str]]:
    """The commands of a README's console, each with its output."""
    _, *parts = COMMAND.split(CONSOLE.search(text)[0])
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("command", "output"), [each for text in TEXT.values() for each in shown(text)])
def test_a_command_prints_what_is_shown(command, output):
    assert output.split() == output_of(command).split()


@pytest.mark.parametrize("name", README)
def test_the_map_has_every_notebook(name):
    rows = re.findall(rf"^\| (\d\d) \| \[[^]]+\]\({README[name]}/([^)]+)\) \|", TEXT[name], re.M)
    assert [file for _, file in rows] == NOTEBOOKS
    assert all(file.startswith(f"{number}_") for number, file in rows)


def test_the_readmes_have_the_same_parts():
    """As many headings, commands, code and links, in the same order; the speed is measured and stands in one."""
    parts = []
    for text in TEXT.values():
        headings = [level for level, title in re.findall(r"^(#+) (.*)", text, re.M)]
        code = [re.sub(r'".*?"|#.*', "", block) for block in re.findall(r"```python\n(.*?)```", text, re.S)]
        targets = re.findall(r"\]\(([^)#]+)", text)
        parts.append(
            (headings, code, [re.sub(r"notebooks/zh|\.zh(?=\.(?:md|png))", "", t).lstrip("/") for t in targets])
        )
    headings, code, targets = zip(*parts, strict=True)
    assert headings[0] == headings[1] and code[0] == code[1]
    common = [[t.removeprefix("notebooks/") for t in each if "README" not in t] for each in targets]
    assert common[0] == common[1]


@pytest.mark.parametrize("name", README)
def test_each_names_the_other(name):
    (other,) = README.keys() - {name}
    assert f"]({other})" in TEXT[name].split("## ")[0]


if __name__ == "__main__":
    for k, (name, text) in enumerate(TEXT.items()):
        for patterns, compute in CLAIMS.values():
            now = compute()
            text = re.sub(patterns[k], lambda found, now=now: found[0].replace(found[1], now), text)
        width = 118 if name == "README.md" else 10**6
        pairs = [(command, textwrap.fill(output_of(command), width)) for command, _ in shown(text)]
        lines = "".join(f"$ python -m minillama {command}\n{output}\n" for command, output in pairs)
        (ROOT / name).write_text(CONSOLE.sub(lambda _, lines=lines: lines, text), encoding="utf-8")
