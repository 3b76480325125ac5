"""A few hundred cases of the campaign, always the same ones; in `make test-full` ten times as many.

`make fuzz` tries other ones for as long as you like.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minillama
from minillama import Llama, Tokenizer
from tests.examples import examples
from tests.fuzz.calls import LEFT_OUT, calls
from tests.fuzz.files import DOORS, trial
from tests.fuzz.originals import originals
from tests.fuzz.targets import targets

NAMES = ("meta", "meta-shards", "meta-old", "hf", "hf-bpe", "gguf", "gguf-bpe")


def some(n: int) -> settings:
    """As `examples`; cases with a model in them are slow, by hypothesis's measure."""
    return settings(examples(n), suppress_health_check=list(HealthCheck))


def check_some(data, kind: str) -> None:
    """A case of one of the targets whose name has `kind` in it."""
    names = [name for name in targets() if (kind in name if kind else " " not in name)]
    target = targets()[data.draw(st.sampled_from(names))]
    target.trial(data.draw(target.cases))


@pytest.mark.parametrize("name", NAMES)
def test_sound_files_are_read_by_every_door(name):
    assert {*NAMES} == originals().keys()
    for door in {*DOORS}:
        outcome = trial({"original": name, "door": door})
        assert outcome.startswith("read") and (outcome != "read, but of no use" or (name, door) == ("gguf", "chat"))


@pytest.mark.parametrize("name", NAMES)
@some(30)
@given(data=st.data())
def test_changed_files(name, data):
    target = targets()[f"files of {name}"]
    target.trial(data.draw(target.cases))


@some(50)
@given(data=st.data())
def test_commands(data):
    check_some(data, "the command ")


@some(300)
@given(data=st.data())
def test_calls(data):
    check_some(data, "")


def test_all_that_is_public_is_called():
    called = {name.split(".")[0] for name in calls()}
    assert {*minillama.__all__} - called == LEFT_OUT.keys()
    for owner, without in ((Llama, {"device"}), (Tokenizer, {"with_format", "with_marks", "pad_id"})):
        public = {name for name in dir(owner) if not name.startswith("_")} - without
        assert {f"{owner.__name__}.{name}" for name in public} <= calls().keys()
