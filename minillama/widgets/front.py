"""The explorers: widgets that draw in the browser, by themselves, in a notebook and in a page without a kernel.

Their JavaScript is in `front/`: plain files without imports, and no build step. What is joined here is one module:
colours, style sheets, `numbers.js`, `shared.js`, what else the explorer uses, then its own file, which defines
`render({model, el})`.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import anywidget
import torch
import traitlets as T
from torch import Tensor

from minillama import markup

FRONT = Path(__file__).parent / "front"
COLOURS = {name: getattr(markup, name.upper()) for name in ("blue", "orange", "green", "vermillion", "grey")}
HIGHEST = 3.0  # temperature
SENT = {"sync": True, "front": True}  # a trait that goes to the browser, and into a page without a kernel


class Value(T.Any):
    """A trait whose judge (T.validate) sees every value; T.Any lets None through."""

    allow_none = False


def files(name: str, uses: Sequence[str] = ()) -> list[Path]:
    """The files of an explorer in their order: what all share, what it `uses`, its own. A style sheet is optional."""
    sheets = [FRONT / f"{part}.css" for part in ("style", *uses, name)]
    scripts = [FRONT / f"{part}.js" for part in ("numbers", "shared", *uses, name)]
    return [path for path in sheets if path.exists()] + scripts


def source(name: str, uses: Sequence[str] = ()) -> str:
    """All of an explorer's JavaScript: front/NAME.js and what stands before it."""
    texts = [(path.suffix, path.read_text(encoding="utf-8")) for path in files(name, uses)]
    style, code = ("\n".join(text for suffix, text in texts if suffix == kind) for kind in (".css", ".js"))
    return f"const COLOURS = {json.dumps(COLOURS)};\nconst CSS = {json.dumps(style)};\n{code}"


def module(code: str) -> str:
    """An explorer's source as the ES module that anywidget loads."""
    return f"{code}\nexport default {{ render }};\n"


def page(code: str, key: str, values: Mapping, still: str) -> str:
    """An explorer as HTML that needs no kernel and nothing else: `still`, until the script puts the explorer there.

    code: its source; key: what tells it from others in the same page, letters and digits; values: what the widget's
    traits hold, as JSON.
    A script that is loaded by its address does not run in a file that was opened by a double click; this one does.
    """
    data = json.dumps(values).replace("<", "\\u003c")  # nothing in it can end the script
    start = f"start({json.dumps(key)}, {data}, render);"
    return f'<div data-ml-still="{key}">{still}</div><script type="module">\n{code}\n{start}\n</script>'


def packed(rows: Iterable[Tensor]) -> bytes:
    """Rows of numbers as float32, one after another, the lowest byte first."""
    return torch.cat([row.float().flatten() for row in rows]).numpy().astype("<f4").tobytes()


class Explorer(anywidget.AnyWidget):
    """What the explorers share. Where one is shown, its still is shown beside it: the module hides that while it lives.

    A notebook that is opened with another kernel, or turned into a page, has no widget; then the still is there, and
    where scripts may run it becomes the explorer.
    """

    name = ""  # of the file in front/
    uses: Sequence[str] = ()  # the names of other files there that it needs
    moved: Sequence[str] = ()  # the traits that call _moved when Python sets them; the page does the same by itself
    data = T.Dict().tag(**SENT)  # what never changes
    floats = T.Bytes().tag(**SENT)  # float32

    def __init_subclass__(cls, **kwargs):
        if "name" in vars(cls):  # not so in the classes that anywidget derives
            cls._esm = module(source(cls.name, cls.uses))
        super().__init_subclass__(**kwargs)

    def __init__(self, data: Mapping, **traits):
        super().__init__(data={"id": uuid.uuid4().hex, **data}, **traits)
        self.add_class(f"w-{self.name.replace('_', '-')}")
        self.observe(self._moved, self.moved)

    def _moved(self, change) -> None:
        """What follows where one of `moved` has a new value."""

    def set_state(self, sync_data) -> None:
        """What the page sends: it has seen to what follows, and may have gone on since."""
        self.unobserve(self._moved, self.moved)
        try:
            super().set_state(sync_data)
        finally:
            self.observe(self._moved, self.moved)

    def still(self) -> str:
        """What the explorer shows now, as HTML without a script."""
        raise NotImplementedError

    def page(self) -> str:
        """The explorer with its data as HTML that needs no kernel."""
        values = {name: getattr(self, name) for name in self.trait_names(front=True)}
        encoded = {name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
                   for name, value in values.items()}  # fmt: skip
        return page(source(self.name, self.uses), self.data["id"], encoded, self.still())

    def _repr_mimebundle_(self, **kwargs) -> dict[str, object]:
        data, *_ = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/html": self.page(), "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        """Two outputs, for JupyterLab shows one MIME type of each: the widget, and what stays where it cannot live."""
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        stays = {kind: bundle.pop(kind) for kind in ("text/html", "text/plain")}
        display({**bundle, "text/html": ""}, raw=True)  # a page without widgets shows nothing here
        display(stays, raw=True)
