"""One browser and one JupyterLab for all browser tests. Without Chromium they skip, loudly; in CI they fail."""

import os
from pathlib import Path

import pytest

from tests.browser import jupyterlab

SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="session")
def browser():
    if jupyterlab.find_chromium() is None:
        message = (
            "NO CHROMIUM: the widgets were not tested in a browser (apt install chromium, or set MINILLAMA_CHROMIUM)"
        )
        pytest.fail(message) if os.environ.get("MINILLAMA_REQUIRE_BROWSER") else pytest.skip(message)
    with jupyterlab.chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    with jupyterlab.jupyterlab(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1100})
    yield context.new_page()
    context.close()


@pytest.fixture
def open_and_run(page, address):
    def run(notebook):
        jupyterlab.open_and_run(page, address, notebook)
        return page

    return run


@pytest.fixture
def screenshot(page):
    """Save what is seen as tests/browser/screenshots/<name>-light.png and -dark.png."""

    def take(name, locator=None):
        SCREENSHOTS.mkdir(exist_ok=True)
        for theme, label in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
            page.evaluate(jupyterlab.SET_THEME, theme)
            page.wait_for_function(
                "light => document.body.dataset.jpThemeLight === String(light)", arg=label == "light"
            )
            page.wait_for_timeout(300)
            (locator or page).screenshot(path=SCREENSHOTS / f"{name}-{label}.png")

    return take
