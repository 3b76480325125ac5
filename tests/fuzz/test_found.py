"""What the campaign has found stays fixed: each case is tried again."""

import json
from pathlib import Path

import pytest

from tests.fuzz import files
from tests.fuzz.targets import trial_of

FOUND = Path(__file__).with_name("found")
CALLS = json.loads((FOUND / "calls.json").read_text(encoding="utf-8"))
FOLDERS = sorted(path.parent.name for path in FOUND.glob("*/case.json"))


@pytest.mark.parametrize("case", [each["case"] for each in CALLS], ids=[each["was"] for each in CALLS])
def test_calls(case):
    trial_of(case)


@pytest.mark.parametrize("name", FOLDERS)
def test_files(name):
    case = json.loads((FOUND / name / "case.json").read_text(encoding="utf-8"))
    changed = {path.name: path.read_bytes() for path in (FOUND / name).iterdir() if path.name != "case.json"}
    files.trial({"original": case["original"], "door": case["door"], "files": changed})
