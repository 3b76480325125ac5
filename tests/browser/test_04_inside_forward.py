"""Notebook 04 in JupyterLab: predictions and the heads by keyboard, judges, figures and links."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, in_kernel, screenshot, settle, show

pytestmark = pytest.mark.browser


def test_04_inside_forward(open_and_run):
    page = open_and_run("04_inside_forward.ipynb")
    check_prediction(page, 6, "(0, 0)")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator("a", has_text="minillama/model.py").first).to_be_attached()
    figures = page.locator(".ml-figure svg")  # the rotations, the attention heat maps
    assert figures.count() >= 2
    figures.last.scroll_into_view_if_needed()
    screenshot(page, "04_inside_forward")


def test_04_the_heads(open_and_run):
    page = open_and_run("04_inside_forward.ipynb")
    widget = page.locator(".w-attention")
    show(widget.locator(".s-token"))
    screenshot(page, "04_inside_forward-heads", widget)
    caption = widget.locator(".ml-count")
    expect(caption).to_have_text(re.compile("^Layer 1, head 2: ▁Lily looks at ▁saw 0"))  # the head that was found
    widget.locator(".s-head [tabindex='0']").press("ArrowLeft")
    expect(caption).to_contain_text("Layer 1, head 1")
    widget.locator(".s-token [tabindex='0']").press("Home")
    expect(caption).to_have_text("Layer 1, head 1: <s> looks at <s> 1.00.")
    settle(page)
    assert in_kernel(page, "explorer.layer, explorer.head, explorer.token") == "(1, 1, 0)"
    in_kernel(page, "explorer.layer, explorer.token = 0, 3")
    expect(caption).to_contain_text("Layer 0, head 1: ▁a looks at")
    expect(widget.locator(".s-token [tabindex='0']")).to_have_class(re.compile("fx-lit"))
