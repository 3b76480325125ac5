"""What a learner sees where `language("zh")` was called: no English is left but names, code and the terms of a Chinese
sentence. Each widget, figure, check and command is run."""

import json
import platform
import re
from html.parser import HTMLParser

import ipywidgets
import pytest
from matplotlib.text import Text

import minillama
from minillama import check, doctor, figures, widgets, words
from minillama.__main__ import main
from minillama.grade.results import Graded, table
from minillama.grade.submissions import Submission
from tests.shown import calls

CHINESE = re.compile("[\u3000-\u9fff\uff00-\uffef]")  # letters and marks
SAID = json.loads((words.LOCALE / "zh.json").read_text(encoding="utf-8"))
SPOKEN = ("aria-label", "title", "alt", "placeholder")
EXERCISES = [name for name in check.__all__ if hasattr(getattr(check, name), "exercise")]
QUICK = ("top_p", "all_ended", "encode_dialog", "left_pad")
COMMANDS = [[], *([name] for name in "complete chat info convert doctor grade".split())]
HALF = "a\ud800"


def plain(text):
    """The words that look like words of a language: small letters, and nothing that only code has."""
    pieces = re.split(r"[\s\u2e80-\uffff“”…·▸●■→✓✗○]+", re.sub(r"\{[^{}]*\}|\w+\s*\[", " ", text))
    found = {word for piece in pieces if re.fullmatch("[A-Z]?[a-z]{2,}", word := piece.strip(",.:;?!()[]|▁ "))}
    return found - {"True", "False", "None"}


TERMS = set().union(*map(plain, SAID.values()))


def english(text, data=()):
    """What is left of English in a text; data: words that are a learner's, or a model's."""
    found = plain(text) - set(data)
    if CHINESE.search(text):
        return found - TERMS
    return set() if text.strip() in SAID.values() else found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("共 3 个 tokens", set()),  # a term of some sentence
        ("tokens", {"tokens"}),  # alone it is a label
        ("logit", set()),  # a label that is the same in Chinese
        ("共 3 个 lines", {"lines"}),
        ("top_p = 0.9, dim=-1", set()),
        ("Busy: wait", {"Busy", "wait"}),
    ],
)
def test_english_is_found(text, found):
    assert english(text) == found


class Parts(HTMLParser):
    """The texts of a page, and what is said of its parts. Code is left out."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in SPOKEN and value]
        self.open += [tag] if tag in ("style", "script", "code", "pre") else []

    def handle_endtag(self, tag):
        if self.open and tag == self.open[-1]:
            self.open.pop()

    def handle_data(self, data):
        if not self.open:
            self.found.append(data)


def texts(shown):
    """All that a widget, picture or figure says."""
    if isinstance(shown, ipywidgets.Box):
        for child in shown.children:
            yield from texts(child)
    names = ("description", "tooltip", "placeholder", "alt")
    yield from (value for name in names if isinstance(value := getattr(shown, name, None), str))
    pages = [shown.value] if isinstance(shown, ipywidgets.HTML) else []
    if hasattr(shown, "still"):
        pages.append(shown.still())
    elif hasattr(shown, "findobj"):  # a figure, which takes long to be drawn
        yield from (text.get_text() for text in shown.findobj(Text))
    elif hasattr(shown, "_repr_html_"):
        pages.append(shown._repr_html_())
    for page in pages:
        yield from Parts(page).found


def strings(value):
    """The texts in arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


@pytest.fixture(scope="module")
def chinese():
    minillama.language("zh")
    yield
    minillama.language("en")


@pytest.fixture(scope="module")
def shown(checkpoint, chinese):
    return calls(checkpoint)


def judged(found, data=()):
    data = set().union(*map(plain, data))
    return {text: left for text in found if (left := english(text, data))}


def test_widgets_and_figures(shown):
    pieces = shown["show_tokens"][1]["tokenizer"].pieces(range(300))
    for name, (function, given) in shown.items():
        if not name.startswith("plot_") or figures.find_cjk_font():
            data = (*given, *strings(given), *(visible for piece in pieces for visible in piece.split("▁")))
            assert judged(texts(function(**given)), data) == {}, name


def test_messages_in_widgets(shown):
    llama = shown["ChatPanel"][1]["llama"]
    pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
    panel, view = widgets.ChatPanel(llama), widgets.ChatView(llama, [{"role": "user", "content": "你"}])
    for text in ("", HALF, "[INST]", "你" * 500):
        assert not panel.ask(text)
        assert judged(Parts(panel.status.value).found) == {} and CHINESE.search(panel.status.value)
    for text in ("", "你\n好", HALF, "[INST]"):
        view.messages.value = text
        assert judged(texts(view)) == {}
    canvas, stepper = widgets.CanvasView(llama, ["你"]), widgets.GenerateStepper(llama, ["你"])
    heatmap = widgets.LogprobHeatmap(llama, ["你"])
    for text in (HALF, "你" * 500):
        canvas.prompts.value, stepper.prompts, heatmap.prompts = text, [text], [text, text]
        stepper.run()
        for widget in (canvas, stepper, heatmap):
            assert judged(texts(widget), pieces) == {}
            assert "ml-failed" in (widget.view.value if widget is canvas else widget.still())


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in EXERCISES]
)
def test_reports(name, chinese):
    def stub(*args):
        raise NotImplementedError

    for function in (stub, lambda *args: None, None):
        lines = re.sub(r"'[^']*'|`[^`]*`", "", str(getattr(check, name)(function))).splitlines()
        lines = [line for line in lines if "Error: " not in line]  # what Python says
        assert judged(lines, [name, "stub"]) == {}


def test_progress(chinese):
    assert judged(str(check.progress()).splitlines(), EXERCISES) == {}


def test_doctor_and_grade(chinese, capsys, tmp_path):
    doctor.examine()
    doctor.examine(tmp_path)  # says what is wrong, as every error in English
    lines = [line for line in capsys.readouterr().out.splitlines() if "✗ " not in line]
    names = ("python", platform.system(), figures.find_cjk_font() or "")
    assert judged(lines, [*doctor.PACKAGES, *names]) == {}
    starts = {words.columns(line[:2] + re.match("[^ ]+ +", line[2:])[0]) for line in lines}
    assert starts == {16}, "what is found begins in one column"
    graded = [Graded(Submission(tmp_path / name, name, "07_top_p"), [], {}) for name in ("ann", "小明")]
    rows = table(graded).splitlines()
    assert judged(rows, ["ann"]) == {} and len({words.columns(row) for row in rows[1:3]}) == 1


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(command, chinese, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # a line for each
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    usage, _, rest = capsys.readouterr().out.partition("\n\n")
    said = [
        re.sub(r"^ {2,4}\S.*?(  |$)", "", line)  # an option
        for line in rest.splitlines()
        if not re.match("options:|positional| +-h, --help| +--version|  complete [|]", line)  # argparse's own
    ]
    assert judged(said) == {} and CHINESE.search("".join(said))


def test_info(chinese, capsys):
    main(["info"])
    rows = capsys.readouterr().out.splitlines()
    assert judged(rows[1:]) == {} and all(CHINESE.search(row[:4]) for row in rows[:-1])
