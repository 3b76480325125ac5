"""Notebook 03 in JupyterLab: predictions by keyboard, judges, picture and links."""

import pytest

from tests.browser.jupyterlab import check_exercises, screenshot

pytestmark = pytest.mark.browser


def test_03_checkpoint_files(open_and_run):
    page = open_and_run("03_checkpoint_files.ipynb")
    picture = page.locator('img[alt^="Three files"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Three files\"]').naturalWidth > 0")
    screenshot(page, "03_checkpoint_files")

    check_exercises(page, 5, 3, "minillama/checkpoint.py", "it is closed, and the exception goes on")
