"""docs/instructors.md, in both languages: its tables are computed, its commands can be called, its example works.

`python -m tests.test_instructors` writes the tables.
"""

import inspect
import re
import shlex
import sys
from itertools import combinations
from pathlib import Path

import nbformat
import pytest

from minillama import check
from minillama.check.progress import CONTENTS
from minillama.course import SHORT_ROUTE
from minillama.grade import child, grade
from minillama.options import parser
from tests.notebooks.minutes import minutes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {"en": DOCS / "instructors.md", "zh": DOCS / "instructors.zh.md"}
TEXT = {language: path.read_text(encoding="utf-8") for language, path in PAGES.items()}
FOLDER = {"en": "notebooks", "zh": "notebooks/zh"}
WORDS = {"en": {}, "zh": {"notebook": "笔记本", "notebooks": "笔记本", "minutes": "分钟", "exercises": "练习",
                          "predictions": "预测", "all": "全部", "day": "天", "half day": "半天"}}  # fmt: skip
MINUTES = {name: minutes(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)) for name in CONTENTS}


def rows(language, *lines):
    said = WORDS[language]
    return "\n".join("| " + " | ".join(said.get(cell, str(cell)) for cell in line) + " |" for line in lines)


def notebooks(language):
    folder = FOLDER[language]
    lines = [
        (f"[{name}](../{folder}/{name}.ipynb)", MINUTES[name], len(parts["exercises"]), len(parts["predictions"]))
        for name, parts in CONTENTS.items()
    ]
    sums = ("all", *(sum(line[k] for line in lines) for k in (1, 2, 3)))
    heads = ("notebook", "minutes", "exercises", "predictions"), ("---", *["---:"] * 3)
    return rows(language, *heads, *lines, sums)


def split(names, parts):
    """The notebooks in order, in so many parts that the longest is as short as can be."""
    cuts = ((0, *inner, len(names)) for inner in combinations(range(1, len(names)), parts - 1))
    plans = ([names[a:b] for a, b in zip(cut, cut[1:], strict=False)] for cut in cuts)
    return min(plans, key=lambda plan: sorted((sum(MINUTES[name] for name in part) for part in plan), reverse=True))


def plan(language, names, parts, what):
    lines = [
        (k, ", ".join(name[:2] for name in part), sum(MINUTES[name] for name in part))
        for k, part in enumerate(split(names, parts), 1)
    ]
    return rows(language, (what, "notebooks", "minutes"), ("---:", "---", "---:"), *lines)


TABLES = {
    "notebooks": notebooks,
    "two weeks": lambda language: plan(language, list(CONTENTS), 10, "day"),
    "weekend": lambda language: plan(
        language, [name for name in CONTENTS if int(name[:2]) in SHORT_ROUTE], 4, "half day"
    ),
}


def between(name):
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.S)


@pytest.mark.parametrize("language", TEXT)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_notebooks_say(name, language):
    found = between(name).search(TEXT[language])[0].strip()
    assert found == TABLES[name](language), "python -m tests.test_instructors writes it"


def blocks(language, kind):
    return re.findall(rf"```{kind}\n(.*?)```", TEXT[language], re.S)


def commands():
    return re.findall(r"^(?:\S+=\S+ )*python -m minillama (.*)$", "\n".join(blocks("en", "bash")), re.M)


@pytest.mark.parametrize("command", commands())
def test_a_command_can_be_called(command):
    assert parser().parse_args(shlex.split(command)).command == "grade"


def test_the_limits_are_those_of_the_command():
    args = parser().parse_args(["grade", "x"])
    seconds = inspect.signature(grade).parameters["cell_seconds"].default
    english, chinese = (re.sub(r"\s+", " ", text) for text in TEXT.values())
    assert f"`--seconds {args.seconds}` and `--memory {args.memory}` (GiB)" in english
    assert f"a cell gets {seconds} seconds, a file that it writes {child.FILE / 2**30:g} GiB" in english
    assert f"`--seconds {args.seconds}` 和 `--memory {args.memory}`（GiB）" in chinese
    assert f"一个单元格最多 {seconds} 秒，它写的一个文件最多 {child.FILE / 2**30:g} GiB" in chinese


@pytest.mark.parametrize("language", TEXT)
def test_the_exercise_of_ones_own(language, tmp_path, monkeypatch):
    judge, notebook = blocks(language, "python")[-2:]
    (tmp_path / "ours.py").write_text(judge, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ours", raising=False)
    import ours

    assert ours.double(lambda x: x + x).status == "passed"
    assert ours.double(lambda x: x * x).hint.startswith({"en": "That is the square.", "zh": "这是平方。"}[language])
    names = {"ours": ours}
    exec(notebook, names)
    assert ours.double(names["my_double"]).status == "not attempted"


@pytest.mark.parametrize("language", TEXT)
def test_the_line_for_nbgrader(language, monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "0")
    line = next(code for code in blocks(language, "python") if "STRICT" in code)
    exec(line, {"my_top_p": check.top_p.exercise.right})
    with pytest.raises(AssertionError, match="^top_p: <lambda>: failed"):
        exec(line, {"my_top_p": lambda probs, p: probs, "__name__": "nbgrader"})


@pytest.mark.parametrize("language", TEXT)
def test_links_lead_somewhere(language):
    for target in re.findall(r"\]\(([^)]+)\)", TEXT[language]):
        assert (DOCS / target).exists(), target


def test_both_pages_have_the_same_parts():
    def parts(language):
        text = TEXT[language].replace("notebooks/zh", "notebooks")
        code = [re.sub(r'"[^"\n]*"|: .*', "", block) for block in re.findall(r"^```\w*\n.*?^```", text, re.S | re.M)]
        lines = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M).splitlines()
        return code, [mark[0] for line in lines if (mark := re.match(r"#+ |- |\|", line))]

    assert parts("en") == parts("zh")


if __name__ == "__main__":
    for language, path in PAGES.items():
        text = TEXT[language]
        for name, table in TABLES.items():
            new = table(language) + "\n"
            text = between(name).sub(lambda _, new=new: new, text)
        path.write_text(text, encoding="utf-8")
