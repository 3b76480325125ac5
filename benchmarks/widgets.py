"""From slider to view, in a real browser: the time from a key press on a slider to the next frame with the new view.

The median and the worst of the presses for each slider. Needs Chromium.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.record import Record, parser
from tests.browser.jupyterlab import chromium, close_all, jupyterlab, open_and_run

SLIDERS = {
    "02_prompt_batch.ipynb": {".w-canvas": [".s-max-gen-len"]},
    "05_kv_cache.ipynb": {".w-cache": [".s-call"]},
    "06_softmax_temperature.ipynb": {".w-temperature": [".s-temperature"]},
    "07_top_p.ipynb": {".w-top-p": [".s-top-p", ".s-temperature"]},
    "09_generate_loop.ipynb": {".w-stepper": [".s-step"]},
    "10_logprobs.ipynb": {".w-heatmap": [".s-threshold"]},
}

# Starts the clock at the key press, in the page, and stops it one frame after the view has changed.
ARM = """([widget, slider]) => {
  window.redrawn = new Promise((resolve, reject) => {
    let start = 0;
    setTimeout(() => reject(new Error(`no redraw of ${widget} within 10 s of ${slider}`)), 10_000);
    document.querySelector(`${widget} ${slider} .noUi-handle`).addEventListener(
      'keydown', () => { start = performance.now(); }, {capture: true, once: true});
    const seen = new MutationObserver(() => {
      if (!start) return;
      seen.disconnect();
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
    });
    seen.observe(document.querySelector(`${widget} .widget-html`), {childList: true, subtree: true});
  });
}"""


def press(page: Page, widget: str, slider: str, presses: int) -> list[float]:
    """Milliseconds of each press. The keys alternate, each far enough to change the view."""
    handle = page.locator(f"{widget} {slider} .noUi-handle")
    handle.scroll_into_view_if_needed()
    times = []
    for n in range(presses + 3):
        page.evaluate(ARM, [widget, slider])
        handle.press("PageDown" if n % 2 else "PageUp")
        times.append(page.evaluate("() => window.redrawn"))
        page.wait_for_timeout(100)
    return times[3:]  # after three that warm up


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("widgets", __doc__)
    options.add_argument(
        "--presses", type=int, default=20, metavar="N", help="key presses on each slider (default: %(default)s)"
    )
    args = options.parse_args(argv)
    record = Record("widgets", argv, [f"{args.presses} presses"])
    places = {(notebook, slider[3:]): (widget, slider) for notebook, views in SLIDERS.items()
              for widget, sliders in views.items() for slider in sliders}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as address, chromium(address) as page:
        for notebook, rows in groupby(record.todo(places), key=lambda row: row[0]):
            open_and_run(page, notebook)
            for row in rows:
                times = press(page, *places[row], args.presses)
                found = {"median": statistics.median(times), "worst": max(times)}
                record.add({"notebook": notebook, "slider": row[1], **found})
            close_all(page)


if __name__ == "__main__":
    main()
