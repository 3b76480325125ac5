"""Notebook 13 in JupyterLab: two ranks were started, their texts are there; predictions, judges, picture and links."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_exercises, screenshot, show

pytestmark = pytest.mark.browser


def test_13_model_parallel(open_and_run):
    page = open_and_run("13_model_parallel.ipynb")
    picture = page.locator('img[alt^="The feed-forward network on two ranks"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"The feed-forward\"]').naturalWidth > 0")
    screenshot(page, "13_model_parallel")

    texts = page.locator(".jp-OutputArea-output", has_text="rank 1:").filter(has_text="alone:").first
    show(texts)
    said = re.findall(r"^(?:alone|rank \d): ([^[]+?)$(?=\n(?:rank|\[)|\Z)", texts.inner_text(), re.M)
    assert len(said) == 3 and len({" ".join(each.split()) for each in said}) == 1, said  # in lines of their own
    shared = page.locator(".jp-OutputArea-output", has_text="def share(model, rank: int, n_ranks: int)")
    expect(shared).to_contain_text("dist.all_reduce(output")  # the program is on the page
    expect(page.locator(".jp-OutputArea-output", has_text="I made no call.").last).to_contain_text("Timed out waiting")
    expect(page.locator(".jp-OutputArea-output", has_text="seed differs between the ranks")).to_have_count(1)

    check_exercises(page, 6, 3, "minillama/parallel.py", "(1, 6)")
