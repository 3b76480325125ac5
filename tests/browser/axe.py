"""What axe-core finds in what the notebooks show: their outputs and their text, not JupyterLab around them."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SHOWN = (".jp-Notebook .jp-OutputArea-output", ".jp-Notebook .jp-MarkdownOutput")
# Of JupyterLab, and not ours: links in a text differ from it by their colour alone; the colours of code.
NOT_OURS, HIGHLIGHTED = ("link-in-text-block",), ".highlight"
# JupyterLab's body has no height and hides what runs over, so that axe would take all there is for hidden.
RUN = """async ([include, exclude, rules]) => {
  document.body.style.height = '100vh';
  const found = await axe.run({include, exclude}, {rules, resultTypes: ['violations']});
  document.body.style.height = '';
  const lines = ({id, impact, nodes}) => nodes.map(node => `${id} (${impact}): ${node.html.slice(0, 200)}`);
  return found.violations.flatMap(lines);
}"""


def violations(page: Page, contrast: bool = False) -> list[str]:
    """Each as one line: the rule, how bad, and the element. contrast: of colours too, which takes longest."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    include = [[place] for place in SHOWN if page.locator(place).count()]
    rules = {name: {"enabled": False} for name in NOT_OURS} | {"color-contrast": {"enabled": contrast}}
    return page.evaluate(RUN, [include, [[HIGHLIGHTED]], rules]) if include else []
