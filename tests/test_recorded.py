"""Recorded values: what a function returned where the model was, for a notebook that runs where it is not."""

import ast
import hashlib
import json

import nbformat
import pytest
import torch

import minillama
from minillama import recorded, smollm2
from minillama.markup import STYLE, escape
from minillama.recorded import CHANGED, Record
from minillama.widgets.parts import Picture
from minillama.words import LANGUAGES, language
from tests.disk import files_end_at
from tests.notebooks.conftest import NOTEBOOKS

MOST = 200 * 1024  # bytes of a record
VALUES = {"ids": [1, 2], "nats": -0.123457, "text": "从前 \u0120", "none": None, "yes": True, "rows": [["a", 2.5], []]}


def looked_at(x):
    return {**VALUES, "x": x}


def picture():
    return Picture(f'{STYLE}<div style="color:#00224e">3.25% of 40</div>', "A(-3.25) B(40)")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A file that stands for the model's; records are written to another folder."""
    path = tmp_path / "Some-Model.Q4_1.gguf"
    path.write_bytes(b"weights")
    monkeypatch.setattr(recorded, "FOLDER", tmp_path / "recorded")
    return path


@pytest.fixture
def there(model):
    """A record that was written where the model is."""
    real = Record("16", model)
    real(looked_at)((1, 0.1 + 0.2))
    real(picture)()
    real.write()
    return real


def spoken():
    return Picture(language(), language())


def absent(function, *given, capsys):
    value = Record("16", None)(function)(*given)
    return value, capsys.readouterr().out


def test_without_the_file_the_value_is_the_recorded_one_and_a_box_says_so(there, capsys):
    value, said = absent(looked_at, (1, 0.3), capsys=capsys)
    assert value == {**VALUES, "x": [1, 0.3]}
    assert said.startswith("Recorded: what Some-Model returned on another machine") and torch.__version__ in said
    assert smollm2.HOW in said and CHANGED not in said


@pytest.mark.parametrize("changed", [False, True])
def test_the_command_in_the_box_stays_in_one_line(there, changed):
    page = recorded.mark(there.read(), changed).page
    assert f'<span class="ml-whole">{escape(smollm2.HOW)}</span>' in page
    assert ".ml .ml-whole { white-space: nowrap; }" in page


def test_with_the_file_it_runs_and_looks_the_same(there, capsys):
    assert there(looked_at)([1, 0.3]) == absent(looked_at, [1, 0.3], capsys=capsys)[0]
    ran, kept = there(picture)(), absent(picture, capsys=capsys)[0]
    assert (ran.page, repr(ran)) == (kept.page, repr(kept)) == (picture().page, repr(picture()))


def test_a_picture_is_drawn_again_in_each_language(model):
    real = Record("16", model)
    real(spoken)()
    real.write()
    assert language() == "en"
    for name in reversed(LANGUAGES):  # English last
        language(name)
        assert repr(Record("16", None)(spoken)()) == name
    assert real.differences() == []
    real.ran["spoken"]["in"]["zh"]["words"] = "en"
    assert real.differences() == ["spoken: in['zh']: 'en' instead of 'zh'"]


def test_a_changed_cell_is_told(there, capsys):
    def looked_at(x):
        return None

    assert CHANGED in absent(looked_at, (1, 0.3), capsys=capsys)[1]
    assert CHANGED in absent(globals()["looked_at"], (2, 0.3), capsys=capsys)[1]


def test_comments_and_layout_are_no_change():
    def one(): return 1  # fmt: skip  # noqa: E704

    first = recorded.code_of(one)

    def one():  # a comment
        return 1

    assert recorded.code_of(one) == first == "def one():\n    return 1"
    exec("def typed():\n    return 1", names := {})
    assert recorded.code_of(names["typed"]) is None  # no file has its text


def test_what_is_not_recorded_is_refused(there):
    def other():
        return 1

    with pytest.raises(ValueError, match=r"16.json' has no record of other; get the model's file: make real-model"):
        Record("16", None)(other)()
    with pytest.raises(ValueError, match=r"17.json' is no record \(FileNotFoundError"):
        Record("17", None)(looked_at)(1)
    with pytest.raises(ValueError, match="nothing ran, so there is nothing to record"):
        Record("17", there.path).write()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": {}, "versions": {"torch": ""}, "values": {}}', "\x80"])
def test_a_broken_record_is_named(there, text):
    there.file.write_text(text)
    with pytest.raises(ValueError, match=r"16.json' is no record \(\w+: .*\); fetch it with git"):
        Record("16", None)(looked_at)(1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, b"", torch.ones(2), object(), [[{"a": {2}}]]])
def test_other_values_are_refused(there, value):
    def wrong(_):
        return value

    with pytest.raises(TypeError, match="what wrong returns must be made of None, .*, got"):
        there(wrong)(1)
    with pytest.raises(TypeError, match="an argument of looked_at must be made of None, .*, got"):
        there(looked_at)(value)


def test_it_is_written_alike_each_time_with_what_made_it(there, model):
    first = there.file.read_bytes()
    there.write()
    assert there.file.read_bytes() == first
    content = json.loads(first)
    assert content["model"] == {"file": model.name, "sha256": hashlib.sha256(b"weights").hexdigest()}
    assert content["versions"] == {"minillama": minillama.__version__, "torch": torch.__version__}
    assert list(content["values"]) == ["looked_at", "picture"]


def test_a_full_disk_leaves_the_old_record(there):
    before = there.file.read_bytes()
    with pytest.raises(OSError, match="could not be written"), files_end_at(20):
        there.write()
    assert there.file.read_bytes() == before


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("text", "other", "'other' instead of"),
        ("ids", [1, 3], "3 instead of 2"),
        ("ids", [1], "instead of"),
        ("nats", -0.2, "-0.2 instead of -0.123457"),
        ("nats", None, "None instead of -0.123457"),
        ("yes", 1, "1 instead of True"),
        ("rows", [["a", 2.5], {}], "{} instead of []"),
    ],
)
def test_a_difference_is_found(there, part, value, said):
    assert there.differences() == []
    there.ran["looked_at"]["value"][part] = value
    (found,) = there.differences()
    assert found.startswith("looked_at: value") and said in found


def test_rounding_is_no_difference_and_drawn_texts_may_differ(there):
    ran = there.ran["looked_at"]["value"]
    ran["nats"] -= 0.001
    assert there.differences() == []
    ran["text"] = "drawn"
    assert there.differences(drawn=("looked_at",)) == [] != there.differences()
    ran["rows"] = []
    assert there.differences(drawn=("looked_at",))


def test_numbers_and_colours_of_a_picture_may_be_a_little_off(there):
    value = there.ran["picture"]["value"]
    value["page"], value["words"] = value["page"].replace("#00224e", "#00234f"), "A(-3.26) B(40)"
    assert there.differences() == []
    value["words"] = "A(-3.26) B(41)"
    assert there.differences()
    value["words"] = "A(-3.26) B(40)"
    assert there.differences() == []
    value["page"] = value["page"].replace("div", "span")
    assert there.differences()


def test_other_functions_code_and_arguments_are_differences(there):
    there.ran["more"] = there.ran.pop("picture")
    assert there.differences() == ["more: it is not recorded", "picture: it did not run"]
    there.ran["picture"] = there.ran.pop("more") | {"code": "def picture():\n    return None", "given": [1]}
    assert [each.split(" ")[1].rstrip(":[0]") for each in there.differences()] == ["code", "given"]


# ---- the record of notebook 16 ---------------------------------------------------------------------------------------

KEPT = Record("16", None)


def test_the_record_is_small_and_says_what_made_it():
    assert KEPT.file.stat().st_size <= MOST
    content = KEPT.read()
    assert content["model"]["file"] == smollm2.FILE and len(content["model"]["sha256"]) == 64
    assert content["versions"].keys() == {"minillama", "torch"}


def test_its_pictures_are_there_in_each_language():
    pictures = {name: entry for name, entry in KEPT.read()["values"].items() if recorded.is_picture(entry["value"])}
    assert pictures.keys() == {"token_picture", "chat_picture", "heat_picture"}
    for entry in pictures.values():
        assert entry["in"].keys() == {*LANGUAGES} - {"en"}
        assert all(other["page"] != entry["value"]["page"] for other in entry["in"].values())


def test_the_record_is_of_the_notebook_as_it_is():
    """Each function under @real has a record, and its code is the recorded code."""
    notebook = nbformat.read(next(NOTEBOOKS.glob("16_*.ipynb")), as_version=4)
    trees = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    marked = {f.name: ast.unparse(f) for f in functions if any(d.id == "real" for d in f.decorator_list)}
    kept = {name: entry["code"] for name, entry in KEPT.read()["values"].items()}
    assert marked == kept, "try: make record"


@pytest.mark.full
def test_the_record_is_of_the_file_that_is_fetched():
    if (path := smollm2.find()) is None:
        pytest.skip(f"SmolLM2 is not there; get it with: {smollm2.HOW}")
    assert KEPT.read()["model"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
