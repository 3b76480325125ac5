"""Checks of the exercises on the generate loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minillama.check.judge import Wrong, call, judge
from minillama.check.report import Report


def all_ended(function: Callable[[Tensor], bool]) -> Report:
    """Judge f(eos_reached (bsz,) bool): whether the loop may stop, True or False."""

    def case(*ended: bool) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            got = call(f, torch.tensor(ended))
            if isinstance(got, Tensor) and got.numel() != 1:
                raise Wrong(f"One answer for all rows is due, yours has the shape {tuple(got.shape)}.")
            if isinstance(got, Tensor):
                got = got.item()
            if not isinstance(got, bool):
                raise Wrong(f"True or False is due, your function returned {type(got).__name__}.")
            if got == all(ended):
                return
            why = "One row that has ended is not enough." if got else "Every row has ended: stop."
            raise Wrong(f"{list(ended)}: due {all(ended)}, yours {got}. {why}")

        return run

    return judge(
        function,
        [
            ("nobody has ended", case(False, False, False)),
            ("one of three has ended", case(False, True, False)),
            ("the first has ended", case(True, False)),
            ("the last has ended", case(False, True)),
            ("all have ended", case(True, True, True)),
            ("a single row", case(True)),
        ],
    )
