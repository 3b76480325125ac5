"""From slider to view, in a real browser: how long a key press on a slider takes to be seen.

From the time stamp of the key's event to the first animation frame after the view has changed: median and 95th
percentile, and the 95th percentile of the time in the page's own handlers. Needs Chromium.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.record import Record, parser
from tests.browser.jupyterlab import HANDLE, chromium, close_all, jupyterlab, open_and_run, open_lab

SLIDERS = {
    "04_inside_forward.ipynb": {".w-attention": [".s-head", ".s-token"]},
    "05_kv_cache.ipynb": {".w-cache": [".s-call"]},
    "06_softmax_temperature.ipynb": {".w-temperature": [".s-temperature"]},
    "07_top_p.ipynb": {".w-top-p": [".s-top-p", ".s-temperature"]},
    "09_generate_loop.ipynb": {".w-stepper": [".s-step"]},
    "10_logprobs.ipynb": {".w-heatmap": [".s-threshold-a"]},
    "17_steering_and_search.ipynb": {".w-beam": [".s-step"]},
}
STOP = "[tabindex='0']"  # where the keys go, if what is moved is no slider

VIEW = ".widget-html, .fx-rows, .fx-lows, .fx-tokens, .fx-slots, .fx-table"
# The clock starts at the event's own time stamp and stops in the first animation frame after the view has changed.
ARM = """([slider, widget, view]) => {
  window.redrawn = new Promise((resolve, reject) => {
    let pressed = 0, begun = 0, handled = 0;
    setTimeout(() => reject(new Error(`no redraw of ${widget} within 10 s of ${slider}`)), 10_000);
    document.addEventListener('keydown', event => { pressed = event.timeStamp; begun = performance.now(); },
      {capture: true, once: true});
    for (const kind of ['keydown', 'input'])
      document.addEventListener(kind, () => { handled = performance.now() - begun; }, {once: true});
    const seen = new MutationObserver(() => {
      if (!pressed) return;
      seen.disconnect();
      requestAnimationFrame(() => resolve([performance.now() - pressed, handled]));
    });
    for (const each of document.querySelectorAll(`${widget} :is(${view})`))
      seen.observe(each, {childList: true, subtree: true, characterData: true, attributes: true});
  });
}"""


def press(page: Page, widget: str, slider: str, presses: int) -> tuple[str, list[list[float]]]:
    """Where the view is drawn, and milliseconds to the frame and in the handlers for each press.

    The keys alternate, each far enough to change the view.
    """
    handle = page.locator(f"{widget} {slider}:is([role=slider]), {widget} {slider} :is({HANDLE}, {STOP})")
    handle.scroll_into_view_if_needed()
    paged = handle.get_attribute("role") == "slider" or handle.evaluate("node => node.matches('input')")
    keys = ("PageUp", "PageDown") if paged else ("End", "Home")
    handle.press(keys[1])  # so that the first press that counts moves something
    times = []
    for n in range(presses + 3):
        page.evaluate(ARM, [slider, widget, VIEW])
        handle.press(keys[n % 2])
        times.append(page.evaluate("() => window.redrawn"))
        page.wait_for_timeout(100)
    drawn = "kernel" if "noUi" in (handle.get_attribute("class") or "") else "browser"
    return drawn, times[3:]  # after three that warm up


def late(times: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("widgets", __doc__)
    options.add_argument(
        "--presses", type=int, default=20, metavar="N", help="key presses on each slider (default: %(default)s)"
    )
    options.add_argument("--note", action="append", default=[], help="what else holds for this run, such as its load")
    args = options.parse_args(argv)
    record = Record("widgets", argv, [f"{args.presses} presses", *args.note])
    places = {(notebook, slider[3:]): (widget, slider) for notebook, views in SLIDERS.items()
              for widget, sliders in views.items() for slider in sliders}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as address, chromium() as browser:
        page = open_lab(browser, address)
        for notebook, rows in groupby(record.todo(places), key=lambda row: row[0]):
            open_and_run(page, notebook)
            for row in rows:
                drawn, times = press(page, *places[row], args.presses)
                frames, handlers = zip(*times, strict=True)
                found = {"median": statistics.median(frames), "p95": late(frames), "handler": late(handlers)}
                record.add({"notebook": notebook, "slider": row[1], "drawn": drawn, **found})
            close_all(page)


if __name__ == "__main__":
    main()
