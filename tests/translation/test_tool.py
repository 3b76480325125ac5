"""How catalogues follow the English text, and which faults of a translation are found."""

import nbformat
import polib
import pytest

from translation import package, style
from translation.__main__ import fill
from translation.catalogue import Message, state, updated
from translation.cells import code_differs, has_words, relinked


def catalogue(*entries):
    made = polib.POFile()
    made.extend(polib.POEntry(msgid=english, msgctxt=place, msgstr=text) for place, english, text in entries)
    return made


def triples(entries):
    return [(entry.msgctxt, entry.msgid, entry.msgstr, entry.fuzzy, entry.previous_msgid) for entry in entries]


def test_what_has_not_changed_keeps_its_translation_and_what_is_gone_is_dropped():
    old = catalogue(("a", "One.", "一。"), ("gone", "Two.", "二。"), ("b", "Three.", "三。"))
    fresh = updated(old, [Message("Three.", "b"), Message("New.", "c"), Message("One.", "a")])
    assert triples(fresh) == [
        ("b", "Three.", "三。", False, None),
        ("c", "New.", "", False, None),
        ("a", "One.", "一。", False, None),
    ]
    assert [entry.msgctxt for entry in state(fresh)["missing"]] == ["c"]


def test_what_has_changed_is_fuzzy_and_remembers_what_was_translated():
    once = updated(catalogue(("a", "One.", "一。")), [Message("One!", "a")])
    assert triples(once) == [("a", "One!", "一。", True, "One.")]
    assert triples(updated(once, [Message("One?", "a")])) == [("a", "One?", "一。", True, "One.")]


def test_a_cell_under_another_id_keeps_its_translation():
    fresh = updated(catalogue(("a", "One.", "一。")), [Message("One.", "b")])
    assert triples(fresh) == [("b", "One.", "一。", False, None)]


def test_of_a_title_the_minutes_are_written_into_the_translation():
    old = catalogue(("title", "# 07\n\n*45 minutes. Here.* 3", "# 07\n\n*45 分钟。这里。* 3"))
    (entry,) = updated(old, [Message("# 07\n\n*50 minutes. Here.* 3", "title")])
    assert entry.msgstr == "# 07\n\n*50 分钟。这里。* 3" and not entry.fuzzy
    (entry,) = updated(old, [Message("# 07\n\n*50 minutes. There.* 3", "title")])
    assert entry.fuzzy


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1  # (bsz, vocab_size)", False),
        ("x = 1  # float32", False),
        ("x = 1  # (bsz,), True: drop", True),
        ('f("llama-2", "a.json")', False),
        ('f("Once upon a time")', True),
        ('print(f"{n} of them")', True),
        ('print("without:", x)', True),
        ('x["temperature"]', False),
    ],
)
def test_which_code_has_words(source, expected):
    assert has_words(nbformat.v4.new_code_cell(source)) is expected


def test_an_answer_of_a_prediction_has_words():
    cell = nbformat.v4.new_code_cell('p = widgets.Predict(q, ["yes", "no"])', metadata={"tags": ["predict"]})
    assert has_words(cell)


ENGLISH = 'x = f(a, 3)  # (bsz, n), all of them\nprint(f"{x} of {n} stay", "yes")'


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ('x = f(a, 3)  # (bsz, n)，全部\nprint(f"{n} 个里留下 {x} 个", "是")', ""),
        ('x = f(a, 4)  # (bsz, n)，全部\nprint(f"{n} 个里留下 {x} 个", "是")', "code differs"),
        ('x = f(a, 3)  # (bsz, n)，全部\nprint(f"{n} 个里留下 {n} 个", "是")', "code differs"),
        ('x = f(a, 3)  # (bsz, n)，全部\nprint(f"{n} 个里留下 {x} 个", "是")\nx', "code differs"),
        ('x = f(a, 3)  # 全部\nprint(f"{n} 个里留下 {x} 个", "是")', "the shape (bsz, n) is missing"),
        ("x = f(a, 3", "no Python"),
    ],
)
def test_of_code_only_comments_and_strings_may_change(other, expected):
    found = code_differs(ENGLISH, other)
    assert found == "" if expected == "" else expected in found


@pytest.mark.parametrize(
    ("english", "other", "fault"),
    [
        ("A token.", "一个词元。", ""),
        ("A token.", "一个 token。", "term: token"),
        ("A token.", "一个词元，即令牌。", "term: token"),
        ("It is the mask (掩码).", "这就是面具。", "掩码 is introduced"),
        ("Yes.", "是的,对。", "half-width punctuation"),
        ("Yes.", "是 (yes) 的。", "half-width brackets"),
        ("Yes.", '"是"的。', "straight quotes"),
        ("Yes.", "是的 。", "full-width mark"),
        ("Yes.", "是 的。", "between Chinese characters"),
        ("With GPU.", "用GPU算。", "no space between"),
        ("With `f(x)`.", "用`f(x)`算。", "no space between"),
        ("With GPU.", "用 GPU ，好。", "beside a full-width mark"),
        ("**Yes:** it is.", "**是：**就是。", "as bold"),
        ("**Yes**: it is, **no**.", "**是**：就是，**否**。", ""),
        ("See `top_p`.", "见上。", "the code `top_p` is missing"),
        ("At 0.9.", "在这里。", "the number 0.9 is missing"),
        ("There are 2.", "有二个。", ""),
        ("[a](x.md)", "[甲](y.md)", "links to"),
        ("- a\n- b", "- 甲", "items"),
        ("## A\n\nb", "甲\n\n乙", "headings"),
        ("One. This is what it does.", "一。This is what it does.", "english"),
        ("See *The Curious Case of It*.", "见 *The Curious Case of It*。", ""),
    ],
)
def test_faults_of_text(english, other, fault):
    found = style.faults("markdown", english, other, "zh")
    assert found == [] if fault == "" else any(fault in each for each in found), found


@pytest.mark.parametrize(
    ("english", "other", "fault"),
    [
        ('f("Once upon a time")', 'f("从前，有一只Cat")', ""),
        ('f("Once upon a time")', 'f("从前,有")', "half-width punctuation"),
        ('f("What is the time to go")', 'f("What is the time to go")', "english"),
        ("f(x)  # it drops what is too much", "f(x)  # it drops what is too much", "english"),
        ("f(x)  # all", "f( x )  # 全部", "format"),
        ("f(x)  # all", f"f(x)  # {'全' * 60}", "wider than"),
        ('@real\ndef f():\n    return "one of two"', '@real\ndef f():\n    return "二者之一"', "@real"),
    ],
)
def test_faults_of_code(english, other, fault):
    found = style.faults("code", english, other, "zh")
    assert found == [] if fault == "" else any(fault in each for each in found), found


def test_faults_of_what_the_package_says():
    assert style.faults("package", "{n} of {m}", "{m} 个里有 {n} 个", "zh") == []
    assert "gaps" in style.faults("package", "{n} of {m}", "有 {n} 个", "zh")[0]


def test_links_are_moved_one_folder_deeper():
    text = "![a](../assets/loop-top-p.svg) [b](08_next_token.ipynb) [c](06_x.ipynb) [d](https://x.y/z) "
    text += "[e](../README.md#the-course) [f](xx/06_x.ipynb#top) [g](zh/00_start_here.ipynb)"
    moved = relinked(text, "xx", {"08_next_token"})
    assert moved == (
        "![a](../../assets/loop-top-p.svg) [b](08_next_token.ipynb) [c](../06_x.ipynb) [d](https://x.y/z) "
        "[e](../../README.md#the-course) [f](../06_x.ipynb#top) [g](../zh/00_start_here.ipynb)"
    )


def test_the_sentences_of_a_file(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        'HINT = "of a name"\n'
        "def f(x, kind):\n"
        '    template = "one" if x else "many {n}"\n'
        '    say(template, n=x), say("at once"), say(HINT), say({"key": "by a key"}.get(kind, "by default"))\n'
        '    print("not said")\n',
        encoding="utf-8",
    )
    assert set(package.sentences(path)) == {"one", "many {n}", "at once", "of a name", "by a key", "by default"}


def test_fill_keeps_what_is_right_and_tells_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("translation.catalogue.LOCALE", tmp_path)
    cells = [nbformat.v4.new_markdown_cell(text, id=key) for key, text in (("a", "A token."), ("b", "Two."))]
    notebook = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell("x = 1", id="c")])
    monkeypatch.setattr("translation.catalogue.read", lambda name: notebook)
    monkeypatch.setattr("translation.__main__.read", lambda name: notebook)
    assert not fill("99_test", "zh", {"a": "一个 token。", "b": "二。", "d": "?"})
    told = capsys.readouterr().out
    assert "a\n    term: token is 词元" in told and "d\n    there is no such message" in told
    assert "1 missing, 0 fuzzy" in told
    assert fill("99_test", "zh", {"a": "一个词元。", "c": "x = 1  # 一"})
    assert "0 missing, 0 fuzzy, 0 obsolete, 0 wrong, of 3" in capsys.readouterr().out
