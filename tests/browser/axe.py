"""What axe-core finds in what the notebooks show: their outputs and their text, not JupyterLab around them."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SHOWN = (".jp-Notebook .jp-OutputArea-output", ".jp-Notebook .jp-MarkdownOutput")
RUN = """async ([include, rules]) => {
  const found = await axe.run({include}, {rules, resultTypes: ['violations']});
  const lines = ({id, impact, nodes}) => nodes.map(node => `${id} (${impact}): ${node.html.slice(0, 200)}`);
  return found.violations.flatMap(lines);
}"""


def violations(page: Page, contrast: bool = False) -> list[str]:
    """Each as one line: the rule, how bad, and the element. contrast: of colours too, which takes longest."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    include = [[place] for place in SHOWN if page.locator(place).count()]
    rules = {"color-contrast": {"enabled": contrast}}
    return page.evaluate(RUN, [include, rules]) if include else []
