"""From key to view, in a real browser: how long a key press in a widget takes to be seen.

From the time stamp of the key's event to the first animation frame after the view has changed: median and 95th
percentile, and the 95th percentile of the time in the page's own handlers. Needs Chromium.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page, expect

from benchmarks.record import Record, parser
from tests.browser.jupyterlab import chromium, close_all, jupyterlab, open_and_run, open_lab

ENDS, TYPED = ("End", "Home"), ("a", "Backspace")
STOP = "[tabindex='0']"  # the one of many nodes that has the focus
EXPLORER, VIEW = ".fx", ".widget-html"  # what the browser draws, and what the kernel draws


class Control(NamedTuple):
    """What gets the keys, and two keys that undo each other, each of which changes the view."""

    widget: str
    part: str
    keys: tuple[str, str]
    before: str = "–"  # median ms of the version whose kernel drew every widget (commit 1537ef1), in the same browser


CONTROLS = {
    ("01_text_to_tokens.ipynb", "text"): Control(".w-tokens", ".s-text textarea", TYPED, "93"),
    ("02_prompt_batch.ipynb", "max-gen-len"): Control(
        ".w-canvas", ".s-max-gen-len input", ("ArrowUp", "ArrowDown"), "88–107"
    ),
    ("04_inside_forward.ipynb", "head"): Control(".w-attention", f".s-head {STOP}", ENDS),
    ("04_inside_forward.ipynb", "token"): Control(".w-attention", f".s-token {STOP}", ENDS),
    ("05_kv_cache.ipynb", "call"): Control(".w-cache", f".s-call {STOP}", ENDS, "65–94"),
    ("05_kv_cache.ipynb", "piece"): Control(".w-cache", ".s-piece input", ENDS, "65–94"),
    ("06_softmax_temperature.ipynb", "temperature"): Control(
        ".w-temperature", ".s-temperature", ("PageUp", "PageDown"), "65–72"
    ),
    ("07_top_p.ipynb", "top-p"): Control(".w-top-p", ".s-top-p", ("PageUp", "PageDown"), "74"),
    ("07_top_p.ipynb", "temperature"): Control(".w-top-p", ".s-temperature input", ("PageUp", "PageDown"), "65–72"),
    ("07_top_p.ipynb", "draw"): Control(".w-top-p", ".s-draw-100", ("Enter", "Enter"), "64–87"),
    ("09_generate_loop.ipynb", "step"): Control(".w-stepper", f".s-step {STOP}", ENDS, "71–94"),
    ("10_logprobs.ipynb", "threshold"): Control(".w-heatmap", ".s-threshold-a", ENDS, "58"),
    ("12_chat.ipynb", "messages"): Control(".w-chat", ".s-messages textarea", TYPED, "74"),
    ("17_steering_and_search.ipynb", "step"): Control(".w-beam", f".s-step {STOP}", ENDS),
}

# The clock starts at the event's own time stamp and stops in the first animation frame after the view has changed: its
# words or how a part looks, not which part has the focus.
ARM = """([view, what]) => {
  window.redrawn = new Promise((resolve, reject) => {
    let pressed = 0, begun = 0, handled = 0;
    setTimeout(() => reject(new Error(`no redraw within 10 s of a key on ${what}`)), 10_000);
    document.addEventListener('keydown', event => { pressed = event.timeStamp; begun = performance.now(); },
      {capture: true, once: true});
    for (const kind of ['keydown', 'input', 'click'])
      document.addEventListener(kind, () => { handled = performance.now() - begun; }, {once: true});
    const seen = new MutationObserver(() => {
      if (!pressed) return;
      seen.disconnect();
      requestAnimationFrame(() => resolve([performance.now() - pressed, handled]));
    });
    const seeing = {childList: true, subtree: true, characterData: true, attributeFilter: ["class", "style", "d"]};
    for (const each of document.querySelectorAll(view)) seen.observe(each, seeing);
  });
}"""


def press(page: Page, control: Control, presses: int) -> tuple[str, list[list[float]]]:
    """Where the view is drawn, and milliseconds to the frame and in the handlers for each press."""
    widget, part = page.locator(control.widget), page.locator(f"{control.widget} {control.part}")
    part.scroll_into_view_if_needed()
    by_page = widget.locator(EXPLORER).count() > 0
    if by_page:
        expect(widget.locator(".ml-count")).not_to_be_empty()
    view = f"{control.widget} {EXPLORER if by_page else VIEW}"
    part.press(control.keys[1])  # so that the first press that counts moves something
    page.wait_for_timeout(300)
    times = []
    for n in range(presses + 3):
        page.evaluate(ARM, [view, f"{control.widget} {control.part}"])
        part.press(control.keys[n % 2])
        times.append(page.evaluate("() => window.redrawn"))
        page.wait_for_timeout(100)
    return "browser" if by_page else "kernel", times[3:]  # after three that warm up


def late(times: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("widgets", __doc__)
    options.add_argument(
        "--presses", type=int, default=20, metavar="N", help="key presses on each control (default: %(default)s)"
    )
    options.add_argument("--note", action="append", default=[], help="what else holds for this run, such as its load")
    args = options.parse_args(argv)
    record = Record("widgets", argv, [f"{args.presses} presses", *args.note])
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as address, chromium() as browser:
        page = open_lab(browser, address)
        for notebook, rows in groupby(record.todo(CONTROLS), key=lambda row: row[0]):
            open_and_run(page, notebook)
            for row in rows:
                drawn, times = press(page, CONTROLS[row], args.presses)
                frames, handlers = zip(*times, strict=True)
                found = {"median": statistics.median(frames), "p95": late(frames), "handler": late(handlers)}
                before = CONTROLS[row].before
                record.add({"notebook": notebook, "slider": row[1], "drawn": drawn, "before": before, **found})
            close_all(page)


if __name__ == "__main__":
    main()
