"""JupyterLab on loopback and a Chromium that drives it: for the browser tests and for `make bench-widgets`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

HANDLE = ".noUi-handle, input[type=range]"
PAUSE = 200  # milliseconds; without it a page that waits draws frame after frame, and the kernel has half a core less
# After a notebook is opened, and after a run, JupyterLab gives the active cell the focus as soon as that cell is ready:
# a key pressed before is lost. So a command is over when it has resolved and, after it, the cell.
START = """([command, options]) => {
  window.isOver = false;
  window.jupyterapp.commands.execute(command, options)
    .then(() => window.jupyterapp.shell.currentWidget.context.ready)
    .then(() => window.jupyterapp.shell.currentWidget.content.activeCell.ready)
    .then(() => { window.isOver = true; });
}"""
IS_OVER = "() => window.isOver"
# The status bar says "idle" before there is a kernel, so ask the session itself.
KERNEL_IS_IDLE = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const kernel = panel?.sessionContext?.session?.kernel;
  return Boolean(panel?.context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle');
}"""
ALL_CELLS_RAN = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter(cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().trim())
  .every(cell => cell.model.executionCount !== null)"""
KERNEL_ANSWERS = """() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestCommInfo({})
  .then(() => null)"""
RUN_CODE = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const run = kernel.requestExecute({code, store_history: false});
  let found = '';
  run.onIOPub = ({content}) => {
    if (content.ename) found = `${content.ename}: ${content.evalue}`;
    if (content.data) found = content.data['text/plain'];
  };
  await run.done;
  return found;
}"""
CLOSE = """async () => {
  for (const panel of [...window.jupyterapp.shell.widgets('main')]) {
    await panel.sessionContext?.shutdown();
    panel.dispose();
  }
}"""
SET_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
ERRORS = ", ".join(
    f'.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr")
)


def find_chromium() -> str | None:
    """$MINILLAMA_CHROMIUM, or what is installed."""
    return os.environ.get("MINILLAMA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
        yield browser
        browser.close()


def open_lab(browser: Browser, address: str) -> Page:
    """A page with the JupyterLab of that address, and nothing open in it."""
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.goto(f"{address}/lab?reset")
    page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=120_000)
    return page


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab whose root is a copy of the repository in `folder`: notebooks are saved there."""
    root = folder / "root"
    for name in ("notebooks", "assets", "minillama"):
        shutil.copytree(
            REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
    shutil.copy(REPOSITORY / "README.md", root)
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    no_news = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(no_news))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
               "IPYTHONDIR": "ipython", "JUPYTERLAB_SETTINGS_DIR": "settings", "MPLCONFIGDIR": "matplotlib",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}  # fmt: skip
    environment = {**os.environ, **{name: str(folder / place) for name, place in folders.items()}}
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
               "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", "--IdentityProvider.token=",
               "--LabApp.expose_app_in_browser=True", "--MappingKernelManager.transport_encryption=auto"]  # fmt: skip
    log = folder / "lab.log"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()  # it stops its kernels
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=2).close()
            return
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")
        time.sleep(0.1)


def wait_until(page: Page, *conditions: str, seconds: float) -> None:
    every = " && ".join(f"({condition})()" for condition in conditions)
    page.wait_for_function(f"() => {every}", timeout=1000 * seconds, polling=PAUSE)


def open_notebook(page: Page, notebook: str) -> None:
    """Open notebooks/<notebook> with a kernel of its own."""
    page.evaluate(START, ["docmanager:open", {"path": f"notebooks/{notebook}"}])
    wait_until(page, IS_OVER, KERNEL_IS_IDLE, seconds=120)


def open_and_run(page: Page, notebook: str) -> None:
    """Open notebooks/<notebook> and run all its cells. AssertionError if one shows an error."""
    open_notebook(page, notebook)
    page.evaluate(START, ["notebook:run-all-cells", {}])
    wait_until(page, IS_OVER, ALL_CELLS_RAN, KERNEL_IS_IDLE, seconds=180)
    errors = page.locator(ERRORS).all_inner_texts()
    assert not errors, errors
    settle(page)


def close_all(page: Page) -> None:
    """Close what is open and stop the kernels behind it."""
    page.evaluate(CLOSE)


def show(widget: Locator) -> None:
    """Scroll to a widget and wait until its text is there: what was never in sight has no inner text."""
    widget.scroll_into_view_if_needed()
    expect(widget).to_contain_text(re.compile(r"\S"), use_inner_text=True)


def stays(widget: Locator) -> Locator:
    """What a screen reader is told of a view. It has to be the same element ever after, or nothing is read out."""
    region = widget.get_by_role("status").and_(widget.locator(".ml-live"))
    region.evaluate("node => node.classList.add('first')")
    return widget.locator(".ml-live.first")


def check_prediction(page: Page, n_questions: int, answer: str, place: int = 0) -> None:
    """Of so many predictions one obeys the keyboard, tells its answer after a choice and then locks the choice. The
    text above asks, so its options are seen once."""
    questions = page.locator(".w-predict")
    expect(questions).to_have_count(n_questions)
    question = questions.nth(place)
    show(question)
    choices, said = question.get_by_role("radio"), question.locator(".fx-said")
    for k in range(choices.count()):
        choices.nth(k).press("Space")
        expect(choices.nth(k)).to_be_checked()
    expect(said).to_be_empty()
    choices.last.press("Enter")
    expect(said).to_contain_text(f"“{answer}”")
    expect(question.locator(".fx-right")).to_contain_text(answer)
    expect(choices.first).to_be_disabled()
    expect(question.get_by_text(re.compile(r"^\d of \d predictions right in this notebook so far\.$"))).to_be_visible()
    expect(page.locator(f'[data-ml-asked="{question_id(question)}"]')).to_be_hidden()
    expect(question.locator("legend")).to_have_css("position", "absolute")


def question_id(question: Locator) -> str:
    """What ties a prediction to the text above it."""
    return re.search(r'data-ml-asked="(\w+)"', question.evaluate("node => node.innerHTML"))[1]


def check_exercises(page: Page, n_questions: int, n_exercises: int, source: str, answer: str, place: int = 0) -> None:
    """The prediction at this place tells this answer; every exercise was reported twice, as a stub and as the folded
    solution; and the page links to a source file."""
    check_prediction(page, n_questions, answer, place)
    expect(page.locator(".ml-report .ml-missing")).to_have_count(n_exercises)
    expect(page.locator(".ml-report .ml-passed")).to_have_count(n_exercises)
    expect(page.locator("a", has_text=source).first).to_be_attached()


def settle(page: Page) -> None:
    """Wait until the kernel has done what was asked of it and the page has drawn the answer.

    The kernel takes messages in their turn, so its answer to one more comes last. Twice, for a widget holds a second
    message back until the first is done.
    """
    for _ in range(2):
        page.wait_for_timeout(100)
        page.evaluate(KERNEL_ANSWERS)
    page.wait_for_timeout(100)


def in_kernel(page: Page, code: str) -> str:
    """Run code in the kernel of the notebook that is shown. Returns what the last line is, as text."""
    return page.evaluate(RUN_CODE, code)


def press(page: Page, control: Locator, key: str, times: int = 1) -> None:
    """Press a key on a slider's handle and wait until the view has been redrawn, by the kernel or by the page."""
    handle = control.locator(HANDLE).or_(control.and_(page.get_by_role("slider")))
    handle.scroll_into_view_if_needed()
    for _ in range(times):
        handle.press(key)
    settle(page)


def clear(field: Locator) -> None:
    """Delete what a text field holds, by keyboard."""
    field.scroll_into_view_if_needed()
    field.press("ControlOrMeta+a")
    field.press("Delete")


def set_theme(page: Page, theme: str) -> None:
    page.evaluate(SET_THEME, theme)
    light = theme == "JupyterLab Light"
    page.wait_for_function("light => document.body.dataset.jpThemeLight === String(light)", arg=light)
    page.wait_for_timeout(300)


def screenshot(page: Page, name: str, locator: Locator | None = None) -> None:
    """If $MINILLAMA_SCREENSHOTS is set, save what is seen in tests/browser/screenshots, light and dark."""
    if not os.environ.get("MINILLAMA_SCREENSHOTS"):
        return
    SCREENSHOTS.mkdir(exist_ok=True)
    for theme, label in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        set_theme(page, theme)
        (locator or page).screenshot(path=SCREENSHOTS / f"{name}-{label}.png")
