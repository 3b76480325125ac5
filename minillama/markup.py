"""What everything shown as HTML shares: escaping, the colours, the style sheet.

The colours are Okabe and Ito's, which colour-blind readers can tell apart too, and never the only sign. Text and
background use JupyterLab's own variables, so that both themes are readable.
"""

from __future__ import annotations

import html

BLUE, ORANGE, GREEN, VERMILLION, GREY = "#56B4E9", "#E69F00", "#009E73", "#D55E00", "#8c8c8c"

STYLE = f"""<style>
.ml {{ color: var(--jp-ui-font-color1, inherit); font-size: 13px; line-height: 1.45; overflow-x: auto; }}
.widget-html-content:has(> .ml) {{ min-width: 0; }} /* else a wide table widens the widget, and nothing scrolls */
.ml table {{ border-collapse: collapse; table-layout: auto; margin: 6px 0; }}
.ml.ml table {{ margin: 6px 0; }} /* doubled, for JupyterLab has a table style of its own, as in the next lines */
.ml.ml.ml tr, .ml.ml.ml tr:hover {{ background: transparent; }}
.ml caption {{ text-align: left; padding: 2px 0 6px; }}
.ml caption code, .ml.ml-flowchart code {{ white-space: nowrap; }} /* they are short */
.ml th, .ml td {{ padding: 2px 10px; text-align: right; white-space: nowrap; border: none;
  font-variant-numeric: tabular-nums; color: inherit; background: transparent; }}
.ml th {{ font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--jp-border-color1, #bdbdbd); }}
.ml th[scope=row], .ml .ml-name {{ text-align: left; font-weight: 400; border-bottom: none;
  font-family: var(--jp-code-font-family, monospace); white-space: pre; }}
.ml th.ml-left, .ml td:has(> .ml-track) {{ text-align: left; }}
.ml .ml-cut {{ color: var(--jp-ui-font-color2, #5f5f5f); }}
.ml .ml-cut th[scope=row] {{ text-decoration: line-through; }}
.ml .ml-border td, .ml .ml-border th {{ border-top: 2px dashed {VERMILLION}; }}
.ml .ml-bar {{ display: inline-block; height: 10px; background: {BLUE}; vertical-align: middle; }}
.ml .ml-cut .ml-bar {{ background: {GREY}; }}
.ml .ml-track {{ display: inline-block; width: 90px; text-align: left; margin-left: 8px; }}
.ml .ml-canvas td, .ml .ml-canvas th[scope=col] {{ text-align: center; padding: 1px 6px; line-height: 1.25; }}
.ml .ml-canvas td {{ border: 1px solid var(--jp-border-color2, #e0e0e0);
  font-family: var(--jp-code-font-family, monospace); }}
.ml .ml-canvas th.ml-name[scope=col] {{ text-align: left; }}
.ml .ml-canvas .ml-prompt {{ background: rgba(86, 180, 233, 0.25); }}
.ml .ml-canvas .ml-pad {{ color: var(--jp-ui-font-color2, #5f5f5f); }}
.ml .ml-beside {{ display: flex; flex-wrap: wrap; gap: 8px 32px; align-items: flex-start; }}
.ml .ml-curve text {{ fill: currentColor; font-size: 11px; }}
.ml .ml-curve path, .ml .ml-curve polyline {{ fill: none; stroke: currentColor; }}
.ml .ml-curve .ml-line {{ stroke: {BLUE}; stroke-width: 2.5; }}
.ml .ml-curve .ml-limit {{ stroke: {GREY}; stroke-dasharray: 2 4; }}
.ml .ml-curve .ml-here {{ stroke: {VERMILLION}; stroke-dasharray: 4 3; }}
.ml .ml-curve .ml-dot {{ fill: {VERMILLION}; }}
.ml.ml-cache td, .ml.ml-cache th[scope=col] {{ text-align: center; padding: 2px 6px; }}
.ml.ml-cache td {{ border: 1px solid var(--jp-border-color2, #e0e0e0); }}
.ml.ml-cache .ml-slot-write {{ background: {ORANGE}; color: #1a1a1a; font-weight: 700; }}
.ml.ml-cache .ml-slot-read {{ background: {BLUE}; color: #1a1a1a; }}
.ml.ml-beam td:last-child {{ text-align: left; }}
.ml .ml-tree {{ display: inline-block; }} /* a line through the row leaves it out */
.ml .ml-heat-panel {{ flex: 1 1 420px; max-width: 720px; }}
.ml .ml-heat-text {{ position: relative; padding-bottom: 3.6em; }}
.ml .ml-heat-part {{ margin: 4px 0; padding-left: 8px; border-left: 3px solid transparent; }}
.ml .ml-heat-prompt {{ border-left: 3px double {GREY}; }}
.ml .ml-heat-token {{ display: inline-flex; flex-direction: column; align-items: center; padding: 1px 4px;
  border-bottom: 3px solid transparent; border-radius: 3px 3px 0 0; white-space: pre;
  font-family: var(--jp-code-font-family, monospace); background-clip: padding-box; }}
.ml .ml-heat-below {{ border-bottom: 3px dashed {VERMILLION}; }}
.ml .ml-heat-none {{ outline: 1px dotted {GREY}; outline-offset: -1px; }}
.ml .ml-heat-number {{ font-size: 10px; font-weight: 700; }}
.ml .ml-heat-hint, .ml .ml-heat-token[aria-label]:hover::after {{
  position: absolute; left: 0; right: 0; bottom: 0; min-height: 3.2em; }}
.ml .ml-heat-token[aria-label]:hover::after {{
  content: attr(aria-label); z-index: 1; white-space: normal; background: var(--jp-layout-color0, #ffffff);
  color: var(--jp-ui-font-color1, #1a1a1a); font-family: var(--jp-ui-font-family, sans-serif); }}
.ml .ml-heat-legend {{ display: flex; flex-wrap: wrap; gap: 4px; align-items: center; margin: 4px 0 8px; }}
.ml .ml-canvas .ml-slot-write {{ background: {ORANGE}; color: #1a1a1a; font-weight: 700; }}
.ml .ml-canvas .ml-slot-read {{ background: {BLUE}; color: #1a1a1a; }}
.ml .ml-canvas .ml-step-prompt {{ background: {BLUE}40; }}
.ml .ml-canvas .ml-step-new {{ background: {ORANGE}40; }}
.ml .ml-canvas .ml-step-eos {{ background: {VERMILLION}40; border: 3px double {VERMILLION}; }}
.ml .ml-canvas .ml-step-surplus {{ background: {GREY}30; text-decoration: line-through; }}
.ml .ml-canvas .ml-step-empty {{ color: var(--jp-ui-font-color2, #5f5f5f); }}
.ml .ml-canvas .ml-step-now {{ border-left: 2px solid currentColor; border-right: 2px solid currentColor; }}
.ml .ml-canvas .ml-step-chosen th {{ font-weight: 700; }}
.ml .ml-marked th, .ml .ml-marked td {{ font-weight: 700; }}
.ml .ml-step-detail {{ margin-top: 8px; }}
.ml.ml-stepper .ml-canvas td, .ml.ml-stepper .ml-canvas th[scope=col] {{ padding: 1px 2px; }} /* eighteen columns */
.ml .ml-step-detail thead th, .ml .ml-step-detail td:last-child {{
  white-space: normal; word-break: keep-all; }} /* eight columns */
.ml .ml-where {{ font-family: var(--jp-code-font-family, monospace); color: inherit; background: transparent;
  margin: 4px 0; padding: 4px 10px; border-left: 4px solid {GREY}; overflow-x: auto; }}
.ml .ml-note {{ color: var(--jp-ui-font-color2, #5f5f5f); }}
.ml .ml-sign {{ display: inline-block; min-width: 1.4em; font-weight: 700; }}
.ml .ml-whole {{ white-space: nowrap; }} /* a command, or a sign and its name: never broken */
.ml.ml-progress th, .ml.ml-progress td {{ vertical-align: baseline; }}
.ml.ml-progress td {{ text-align: left; }}
.ml.ml-progress th + td {{ white-space: normal; }} /* the exercises */
.ml .ml-box {{ border-left: 4px solid {GREY}; padding: 4px 10px; margin: 4px 0; }}
.ml .ml-passed {{ border-color: {GREEN}; }}
.ml .ml-failed {{ border-color: {VERMILLION}; }}
.ml .ml-missing {{ border-color: {ORANGE}; }}
.ml .ml-chips {{ display: flex; flex-wrap: wrap; gap: 3px; align-items: center; margin: 6px 0; }}
.ml .ml-chip {{ display: inline-flex; flex-direction: column; align-items: center; padding: 1px 5px;
  border: 1px solid {GREY}; border-radius: 3px; }}
.ml .ml-chip.ml-byte {{ border-style: dashed; }}
.ml .ml-chip.ml-control {{ border: 3px double {VERMILLION}; }}
.ml.ml-echo thead th {{ white-space: normal; }} /* seven columns */
.ml .ml-piece {{ font-family: var(--jp-code-font-family, monospace); white-space: pre; }}
.ml .ml-id {{ font-size: 10px; color: var(--jp-ui-font-color2, #5f5f5f); font-variant-numeric: tabular-nums; }}
.ml .ml-character {{ display: inline-flex; flex-wrap: wrap; gap: 1px; align-items: center; padding: 2px;
  border: 1px solid {GREY}; border-radius: 5px; }}
.ml .ml-hue0 {{ background: {BLUE}38; }}
.ml .ml-hue1 {{ background: {ORANGE}38; }}
.ml .ml-hue2 {{ background: {GREEN}38; }}
.ml .ml-hue3 {{ background: {GREY}38; }}
.ml.ml-figure svg {{ max-width: 100%; height: auto; }}
.ml.ml-figure img {{ display: none; }} /* a page that takes the SVG away takes this away too */
.ml .ml-segment {{ display: inline-flex; flex-direction: column; padding: 0 2px; }}
.ml .ml-segment > .ml-note {{ font-size: 11px; border-bottom: 2px solid {GREY}; }}
.ml .ml-segment .ml-chips {{ margin: 2px 0; }}
.ml.ml-chat {{ container-type: inline-size; }}
@container (max-width: 480px) {{ /* segments flow on in one line, each after its name */
  .ml .ml-segment, .ml .ml-segment .ml-chips {{ display: contents; }}
  .ml .ml-segment > .ml-note {{ border-bottom: none; font-weight: 700; padding-left: 4px; }}
  .ml .ml-segment .ml-chip {{ padding: 0 2px; font-size: 12px; line-height: 1.2; }}
}}
.ml.ml-panel {{ display: flex; flex-direction: column-reverse; height: 260px; overflow-y: auto; }} /* the end is seen */
.ml.ml-panel > div {{ margin-bottom: auto; }}
.ml .ml-said {{ margin: 4px 0; padding: 2px 10px; border-left: 4px solid {BLUE}; }}
.ml .ml-said-assistant {{ border-left: 4px double {GREEN}; }}
</style>"""

KEYS = ' tabindex="0" data-lm-suppress-shortcuts="true"'  # a tab stop, where JupyterLab leaves the keys alone

_CONTROLS = {i: chr(0x2400 + i) for i in range(32)} | {127: "\u2421"}  # pictures of the control characters
_UNSEEN = (  # ranges of characters that cannot be seen: C1 controls, joiners, marks of direction, tags
    (0x80, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F),
    (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F),
)  # fmt: skip
_CODES = (i for first, last in _UNSEEN for i in range(first, last + 1))
_SHOWN = _CONTROLS | {i: f"\\u{i:04x}" if i < 0x10000 else f"\\U{i:08x}" for i in _CODES}


def visible(text: str) -> str:
    """text with its control and direction characters and lone surrogates made visible."""
    return text.translate(_SHOWN).encode("utf-8", "backslashreplace").decode()


def escape(text: str) -> str:
    """text for HTML: markup is escaped, and what cannot be seen becomes visible.

    >>> escape("<b>\\n")
    '&lt;b&gt;␊'
    """
    return html.escape(visible(text))


def wrap(body: str, name: str = "", style: bool = True) -> str:
    """One block of HTML with the style sheet; body is HTML already, name its class.

    A widget leaves the sheet out and has it once, beside what it redraws: a new sheet makes the browser style the whole
    page again. What holds a table may be wider than the page: it can have the focus, and then the arrow keys scroll it.
    """
    focus = KEYS if "<table" in body else ""
    return f'{STYLE if style else ""}<div class="ml {name}"{focus}>{body}</div>'
