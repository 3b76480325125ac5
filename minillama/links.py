"""Links from a notebook to the code that it explains."""

from __future__ import annotations

import inspect
from pathlib import Path

from minillama import allowed
from minillama.arguments import typed
from minillama.markup import escape
from minillama.words import language, say

REPOSITORY = Path(__file__).parent.parent
META = "https://github.com/meta-llama/llama/blob/689c7f2/llama"


class Link:
    """A line of text that opens a page or a file: the value of a cell."""

    def __init__(self, text: str, address: str):
        self.text, self.address = text, address

    def __repr__(self) -> str:
        return f"{self.text} ({self.address})"

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.address)}">{escape(self.text)}</a>'


def source_link(obj) -> Link:
    """A link to the file that defines obj, a function or class of this repository, naming its present line.

    It opens in JupyterLab from a notebook in notebooks/, or in the folder there of the language in use. Raises
    ValueError for what is defined outside the repository and TypeError for what has no source.

    >>> from minillama import sample_top_p
    >>> source_link(sample_top_p).text.split(",")[0]
    'sample_top_p: minillama/sampling.py'
    """
    try:
        target = inspect.unwrap(obj)
        path = Path(inspect.getsourcefile(target))
        line = inspect.getsourcelines(target)[1]
        # a class method is named after the class that it was taken from, not after the one that defines it
        qualname = f"{obj.__self__.__qualname__}.{obj.__name__}" if _of_class(obj) else obj.__qualname__
    except (TypeError, AttributeError, OSError):
        raise TypeError(f"obj must be a function or a class that has a source, got {typed(obj)}") from None
    if not path.is_relative_to(REPOSITORY):
        raise ValueError(f"obj must be defined in this repository, {qualname} is in {str(path)!r}")
    name = path.relative_to(REPOSITORY).as_posix()
    up = "../" if language() == "en" else "../../"  # the notebooks of another language lie in a folder of their own
    return Link(say("{name}: {file}, line {line}", name=qualname, file=name, line=line), f"{up}{name}")


def _of_class(obj) -> bool:
    return inspect.ismethod(obj) and inspect.isclass(obj.__self__)


@allowed.only(file=allowed.text, name=allowed.text)
def meta_link(file: str, name: str) -> Link:
    """A link to Meta's own file, such as "generation.py", at a fixed commit; name: the function or class in it."""
    return Link(say("{name}: llama/{file} in Meta's repository", name=name, file=file), f"{META}/{file}")
