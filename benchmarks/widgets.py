"""Slider to redraw, in a real browser: the time from a key press on a slider to the next frame with the new table.

python -m benchmarks.widgets [--presses 20]

Prints the median and the worst of the presses for each slider. Needs Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page

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
    """Milliseconds of each press; the keys alternate, and go far enough that every press changes what is seen."""
    handle = page.locator(f"{widget} {slider} .noUi-handle")
    handle.scroll_into_view_if_needed()
    times = []
    for n in range(presses + 3):
        page.evaluate(ARM, [widget, slider])
        handle.press("PageDown" if n % 2 else "PageUp")
        times.append(page.evaluate("() => window.redrawn"))
        page.wait_for_timeout(100)
    return times[3:]  # the first ones warm up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=20)
    args = parser.parse_args()
    print("| notebook | slider | median ms | worst ms |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as address, chromium(address) as page:
        for notebook, widgets in SLIDERS.items():
            open_and_run(page, notebook)
            for widget, sliders in widgets.items():
                for slider in sliders:
                    times = press(page, widget, slider, args.presses)
                    print(
                        f"| {notebook} | {slider[3:]} | {statistics.median(times):.0f} | {max(times):.0f} |", flush=True
                    )
            close_all(page)


if __name__ == "__main__":
    main()
