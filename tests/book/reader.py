"""A reader of the built book: pages opened as files, without a network. What goes wrong is a list of lines."""

from __future__ import annotations

import functools
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

WIDE, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
SETTLED = 400  # milliseconds: until a page has gone to its cell, until colours have faded into each other
KEYS = ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "End", "Home")
OPEN_ALL = "() => document.querySelectorAll('details').forEach(node => { node.open = true; })"
# The pictures that do not load, and where the links lead.
PICTURES = """() => Promise.all([...document.images].map(image => {
  image.loading = 'eager';
  return image.decode().then(() => '', () => image.getAttribute('src'));
})).then(found => found.filter(Boolean))"""
LINKS = """() => [...document.querySelectorAll('a[href], area[href]')].filter(node => !node.closest('[hidden]'))
  .map(node => new URL(node.getAttribute('href'), document.baseURI).href)"""
# An explorer begins where its still is seen; what needs a kernel has no more than the still.
BEGIN = """async () => {
  const late = [];
  for (const still of document.querySelectorAll('[data-ml-still]:not([data-ml-view])')) {
    still.scrollIntoView({block: 'center', behavior: 'instant'});
    for (let k = 0; k < 100 && !still.querySelector('.fx'); k++) await new Promise(done => setTimeout(done, 50));
    if (!still.querySelector('.fx')) late.push(still.textContent.trim().slice(0, 60));
  }
  return late;
}"""
# Whether a page, or what holds its text, scrolls sideways; a wide table or program may do so by itself.
WIDER = """() => {
  const wide = [];
  for (let node = document.querySelector('article, main'); node; node = node.parentElement) {
    if (getComputedStyle(node).overflowX === 'visible' && node.parentElement) continue;
    if (node.scrollWidth > node.clientWidth) wide.push(`${node.tagName} ${node.scrollWidth} of ${node.clientWidth}`);
  }
  const over = node => node.getBoundingClientRect().right > innerWidth + 1;
  const inside = [...document.querySelectorAll('article *, main *')].filter(over).map(node => node.outerHTML);
  return wide.length ? [`${wide.join(', ')}, at first in ${inside[0]?.slice(0, 120)}`] : [];
}"""
AXE = """async contrast => {
  const colours = {runOnly: ['color-contrast']}, rest = {rules: {'color-contrast': {enabled: false}}};
  const options = {resultTypes: ['violations'], preload: false, ...(contrast ? colours : rest)};
  const found = await axe.run(document, options);
  return found.violations.flatMap(({id, impact, nodes}) =>
    nodes.map(node => `${id} (${impact}): ${node.target} ${node.html.slice(0, 160)}`));
}"""
SEARCHED = "() => document.querySelector('#search-results .search-summary')?.textContent"
FOUND = "() => [...document.querySelectorAll('#search-results li a')].map(node => node.href)"


class Reader:
    """A page without a network, and what it complains of."""

    def __init__(self, browser: Browser, root: Path, viewport: dict = WIDE):
        self.root, self.heard = root.resolve(), []
        self.context = browser.new_context(viewport=viewport, offline=True)
        self.context.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.heard.append(f"error: {error}"))
        self.page.on("request", lambda request: self._request(request.url))
        self.page.on("requestfailed", lambda request: self.heard.append(f"not loaded: {request.url}"))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_) -> None:
        self.context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.heard.append(f"console: {message.text}")

    def _request(self, address: str) -> None:
        if not address.startswith(("file:", "data:", "blob:")):
            self.heard.append(f"asks for {address}")

    def open(self, name: str) -> Page:
        """A page of the book, as "en/07_top_p.html" or with #cell."""
        self.page.goto("about:blank")
        self.heard.clear()
        self.page.goto(f"{self.root.as_uri()}/{name}")
        return self.page

    # ---- one page, as it is open

    def links(self) -> list[str]:
        """Pictures that do not load, and links that lead nowhere in the book."""
        pictures = [f"no picture: {source}" for source in self.page.evaluate(PICTURES)]
        return pictures + [f"dead link: {each}" for each in self.page.evaluate(LINKS) if not self.leads(each)]

    def leads(self, address: str) -> bool:
        """Whether there is what a link leads to; on the web it is not looked for."""
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "mailto"):
            return True
        path = Path(unquote(parts.path))
        if parts.scheme != "file" or not path.is_relative_to(self.root) or not path.is_file():
            return False
        return parts.fragment in ("", "top") or unquote(parts.fragment) in ids(path)

    def sideways(self) -> list[str]:
        """Whether the page is wider than the screen."""
        return [f"scrolls sideways: {each}" for each in self.page.evaluate(WIDER)]

    def axe(self, contrast: bool = False) -> list[str]:
        """What axe-core finds in the whole page; contrast: of colours alone, which takes longest."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        return [f"axe: {each}" for each in self.page.evaluate(AXE, contrast)]

    def explorers(self) -> list[str]:
        """Explorers that do not begin, that no key moves, and predictions that do not answer."""
        faults = [f"does not begin: {each}" for each in self.page.evaluate(BEGIN)]
        for explorer in self.page.locator(".fx:not(.fx-predict)").all():
            if not moves(explorer):
                faults.append(f"no key moves {explorer.get_attribute('class')}")
        for k, question in enumerate(self.page.locator(".fx-predict").all(), 1):
            faults += [f"prediction {k}: {each}" for each in unanswered(question)]
        return faults

    # ---- search and the other language

    def search(self, language: str, words: str) -> list[str]:
        """The pages that are found, the best first: "glossary.html#term-top_p" …"""
        page = self.open(f"{language}/search.html?q={words}")
        page.wait_for_function(SEARCHED)
        return [each.removeprefix(f"{self.root.as_uri()}/{language}/") for each in page.evaluate(FOUND)]

    def search_faults(self, language: str, words: str) -> list[str]:
        found = self.search(language, words)
        if not found:
            return [f"not found: {words}"]
        text = read(self.root / language / found[0].partition("#")[0])
        faults = [] if words.lower() in text.lower() else [f"{found[0]} does not have {words}"]
        return faults + ([] if any(re.match(r"\d\d_", each) for each in found) else [f"in no notebook: {words}"])

    def switch(self, other: str) -> str:
        """Click on another language, and return the cell that is shown then."""
        self.page.wait_for_timeout(SETTLED)
        self.page.locator(f".book-languages a[hreflang={other}]").click()
        self.page.wait_for_url(f"**/{other}/**")
        return urlsplit(self.page.url).fragment

    def switch_faults(self, one: str, other: str, name: str, cell: str) -> list[str]:
        """Of the way from a cell to the other language and back."""
        page = self.open(f"{one}/{name}#{cell}")
        there, back = self.switch(other), self.switch(one)
        page.wait_for_timeout(SETTLED)
        top = page.locator(f"[id='{cell}']").evaluate("node => node.getBoundingClientRect().top")
        seen = [] if 0 <= top < WIDE["height"] / 3 else [f"{name}#{cell} is at {top:.0f} pixels"]
        return seen if there == back == cell else [f"{name}#{cell} leads to #{there}, and back to #{back}"]


@functools.cache
def ids(path: Path) -> set[str]:
    """What a link can lead to in a page."""
    return {unescape(each) for each in re.findall(r'\s(?:id|name)="([^"]*)"', path.read_text(encoding="utf-8"))}


@functools.cache
def read(path: Path) -> str:
    """The text of a page."""
    article = re.search(r"<article.*</article>", path.read_text(encoding="utf-8"), re.S)[0]
    return unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", "", article, flags=re.S))


def moves(explorer: Locator) -> bool:
    """Whether a key changes what an explorer shows."""
    for control in explorer.locator("[tabindex='0'], input, select").all():
        if not control.is_visible() or not control.is_enabled():
            continue
        control.focus()
        before = explorer.inner_text()
        for key in KEYS:
            control.press(key)
            if explorer.inner_text() != before:
                return True
    return False


def unanswered(question: Locator) -> list[str]:
    """What is wrong with a prediction: choose the first option, then press Enter."""
    choice = question.get_by_role("radio").first
    choice.press("Space")
    before = question.locator(".fx-said").inner_text()
    choice.press("Enter")
    faults = [] if not before and question.locator(".fx-said").inner_text() else ["tells no answer"]
    if question.locator(".fx-right").count() != 1:
        faults.append("marks no right option")
    if not question.evaluate("node => node.classList.contains('fx-asked')"):
        faults.append("its options stand in the text above, too")
    return faults
