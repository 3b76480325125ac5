"""axe-core finds nothing in any notebook, in either theme; the tests of each notebook ask it without colours."""

import pytest

from tests.browser import axe, jupyterlab
from tests.notebooks.conftest import NAMES

pytestmark = pytest.mark.browser
BAD = '<img src="data:,"><p style="color: #999999; background: #ffffff">pale</p>'


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_no_violation_in_either_theme(open_and_run, name):
    page = open_and_run(name)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        jupyterlab.set_theme(page, theme)
        assert axe.violations(page, contrast=True) == []


def test_a_violation_is_found(page):
    place = (  # above all else, for of what is covered axe knows no colours
        '<div class="jp-Notebook" style="position: fixed; top: 0; left: 0; height: 99px; z-index: 99999">'
        '<div class="jp-OutputArea-output" id="ml-bad"></div></div>'
    )
    page.evaluate("([place, bad]) => { document.body.insertAdjacentHTML('beforeend', place);"
                  " document.getElementById('ml-bad').innerHTML = bad }", [place, BAD])  # fmt: skip
    try:
        found = [line.split(" ")[0] for line in axe.violations(page, contrast=True)]
        assert found == ["color-contrast", "image-alt"] and len(axe.violations(page)) == 1
    finally:
        page.evaluate("() => document.getElementById('ml-bad').parentElement.remove()")
