"""One JupyterLab for all browser tests."""

import pytest
from playwright.sync_api import expect

from tests.browser import axe, jupyterlab

expect.set_options(timeout=20_000)  # milliseconds: the machine may be busy


@pytest.fixture(scope="session")
def lab(kernels, tmp_path_factory):
    """The folder that is JupyterLab's root, and its address."""
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab.jupyterlab(folder) as address:
        yield folder / "root", address


@pytest.fixture(scope="session")
def page(browser, lab):
    return jupyterlab.open_lab(browser, lab[1])


@pytest.fixture(scope="module")
def open_and_run(page):
    """The page with the notebook, all its cells run; the tests of one file share it."""
    opened = set()

    def run(notebook):
        if notebook not in opened:
            jupyterlab.close_all(page)
            jupyterlab.open_and_run(page, notebook)
            opened.clear()
            opened.add(notebook)
        return page

    yield run
    found = axe.violations(page) if opened else []
    jupyterlab.close_all(page)
    assert found == [], f"axe-core, in what is left of {opened}"
