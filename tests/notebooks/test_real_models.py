"""Notebook 16 where transformers is not installed."""

import sys

import nbformat
import torch

from tests.notebooks.conftest import NOTEBOOKS


def test_without_transformers_the_comparisons_say_so(llama, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)  # an import raises ImportError
    notebook = nbformat.read(NOTEBOOKS / "16_real_models.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if "print(missing)" in cell.source]
    assert len(cells) == 5
    names = {"torch": torch, "real": lambda f: f, "course": llama, "other": llama, "fact": "Once upon a time"}
    for source in cells:
        exec(source, names)
        assert "pip install transformers" in capsys.readouterr().out, source
