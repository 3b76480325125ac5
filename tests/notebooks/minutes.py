"""The minutes that a notebook states, by one rule. `python -m tests.notebooks.minutes` writes them into the notebooks.

Words are read at 150 a minute, a code cell is run and looked at in half a minute, an exercise takes six minutes. The
sum is rounded to the nearest five.
"""

import re
from pathlib import Path

import nbformat

STATED = re.compile(r"\*(\d+) minutes\.")


def words(text):
    """How many words a reader sees: of a link its label, of a picture nothing."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", lambda match: "" if match[0].startswith("!") else match[1], text)
    return len(re.findall(r"\w+", text))


def minutes(notebook):
    """By the rule. A stub counts as an exercise and not as a cell, its solution not at all."""
    tags = [set(cell.metadata.get("tags", ())) for cell in notebook.cells if cell.cell_type == "code"]
    read = sum(words(cell.source) for cell in notebook.cells if cell.cell_type == "markdown") / 150
    run = sum(0.5 for each in tags if not each & {"exercise", "solution"})
    return 5 * round((read + run + sum(6 for each in tags if "exercise" in each)) / 5)


if __name__ == "__main__":
    for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb")):
        by_rule = minutes(nbformat.read(path, as_version=4))
        text = path.read_text(encoding="utf-8")
        path.write_text(STATED.sub(f"*{by_rule} minutes.", text, count=1), encoding="utf-8")
        print(f"{path.name}: {by_rule} minutes")
