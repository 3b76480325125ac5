"""What the course has, read from its notebooks.

`python -m tests.notebooks.contents` writes it to minillama/check/contents.json. It also puts the
cell that shows progress at the end of a notebook that has none.
"""

import json
import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FILE = NOTEBOOKS.parent / "minillama" / "check" / "contents.json"


def contents() -> dict[str, dict]:
    """{notebook: {"exercises": {exercise: function}, "predictions": [name]}}, in the order of the course."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        exercises, predictions = {}, []
        for cell in nbformat.read(path, as_version=4).cells:
            tags = cell.metadata.get("tags", ())
            if "exercise" in tags:
                exercises |= dict(re.findall(r"^check\.(\w+)\((my_\w+)\)$", cell.source, re.M))
            if "predict" in tags:
                predictions += re.findall(r"^(\w+) = widgets\.Predict\(", cell.source, re.M)
        found[path.stem] = {"exercises": exercises, "predictions": predictions}
    return found


def last_cell(name: str) -> str:
    return f"check.progress({int(name[:2])})"


if __name__ == "__main__":
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if notebook.cells[-1].source != last_cell(path.name):
            notebook.cells.append(nbformat.v4.new_code_cell(last_cell(path.name), id="progress"))
            nbformat.write(notebook, path)
    FILE.write_text(json.dumps(contents(), indent=1) + "\n", encoding="utf-8")
