"""One browser and one JupyterLab for all browser tests. Without Chromium they skip, loudly; in CI they fail."""

import os

import pytest
from playwright.sync_api import expect

from tests.browser import jupyterlab

expect.set_options(timeout=20_000)  # milliseconds: the machine may be busy


@pytest.fixture(scope="session")
def context():
    if jupyterlab.find_chromium() is None:
        message = (
            "NO CHROMIUM: the widgets were not tested in a browser (apt install chromium, or set MINILLAMA_CHROMIUM)"
        )
        pytest.fail(message) if os.environ.get("MINILLAMA_REQUIRE_BROWSER") else pytest.skip(message)
    with jupyterlab.chromium() as context:
        yield context


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    with jupyterlab.jupyterlab(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="module")
def open_and_run(context, address):
    """A page with the notebook, all its cells run; the tests of one file share it."""
    pages = {}

    def run(notebook):
        if notebook not in pages:
            pages[notebook] = jupyterlab.open_and_run(context, address, notebook)
        return pages[notebook]

    yield run
    for page in pages.values():
        jupyterlab.close(page)
