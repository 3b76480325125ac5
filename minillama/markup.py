"""What everything shown as HTML shares: escaping, the colours, the style sheet.

Colours are Okabe and Ito's, told apart by colour-blind readers too, and never the only sign. Text and background are
JupyterLab's own variables, so that both themes can be read.
"""

from __future__ import annotations

import html

BLUE, ORANGE, GREEN, VERMILLION, GREY = "#56B4E9", "#E69F00", "#009E73", "#D55E00", "#8c8c8c"

STYLE = f"""<style>
.ml {{ color: var(--jp-ui-font-color1, #1a1a1a); font-size: 13px; line-height: 1.45; overflow-x: auto; }}
.ml table {{ border-collapse: collapse; table-layout: auto; margin: 6px 0; }}
.ml caption {{ text-align: left; padding: 2px 0 6px; }}
.ml th, .ml td {{ padding: 2px 10px; text-align: right; white-space: nowrap; border: none;
  font-variant-numeric: tabular-nums; color: inherit; background: transparent; }}
.ml th {{ font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--jp-border-color1, #bdbdbd); }}
.ml th[scope=row], .ml .ml-name {{ text-align: left; font-weight: 400; border-bottom: none;
  font-family: var(--jp-code-font-family, monospace); white-space: pre; }}
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
.ml .ml-note {{ color: var(--jp-ui-font-color2, #5f5f5f); }}
.ml .ml-sign {{ display: inline-block; min-width: 1.4em; font-weight: 700; }}
.ml .ml-box {{ border-left: 4px solid {GREY}; padding: 4px 10px; margin: 4px 0; }}
.ml .ml-passed {{ border-color: {GREEN}; }}
.ml .ml-failed {{ border-color: {VERMILLION}; }}
.ml .ml-missing {{ border-color: {ORANGE}; }}
.ml .ml-chips {{ display: flex; flex-wrap: wrap; gap: 3px; align-items: center; margin: 6px 0; }}
.ml .ml-chip {{ display: inline-flex; flex-direction: column; align-items: center; padding: 1px 5px;
  border: 1px solid {GREY}; border-radius: 3px; }}
.ml .ml-chip.ml-byte {{ border-style: dashed; }}
.ml .ml-chip.ml-control {{ border: 3px double {VERMILLION}; }}
.ml .ml-piece {{ font-family: var(--jp-code-font-family, monospace); white-space: pre; }}
.ml .ml-id {{ font-size: 10px; color: var(--jp-ui-font-color2, #5f5f5f); font-variant-numeric: tabular-nums; }}
.ml .ml-character {{ display: inline-flex; flex-wrap: wrap; gap: 1px; align-items: center; padding: 2px;
  border: 1px solid {GREY}; border-radius: 5px; }}
.ml .ml-hue0 {{ background: {BLUE}38; }}
.ml .ml-hue1 {{ background: {ORANGE}38; }}
.ml .ml-hue2 {{ background: {GREEN}38; }}
.ml .ml-hue3 {{ background: {GREY}38; }}
</style>"""

_CONTROLS = {i: chr(0x2400 + i) for i in range(32)} | {127: "\u2421"}  # pictures of the control characters
_UNSEEN = {i: f"\\u{i:04x}" for i in (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)}


def escape(text: str) -> str:
    """text for HTML: markup escaped, control and direction characters and lone surrogates made visible.

    >>> escape("<b>\\n")
    '&lt;b&gt;␊'
    """
    text = text.translate(_CONTROLS | _UNSEEN).encode("utf-8", "backslashreplace").decode()
    return html.escape(text)


def wrap(body: str, name: str = "", style: bool = True) -> str:
    """One block of HTML with the style sheet; body is HTML already.

    What is redrawn often leaves the sheet out and has it once beside it: a new sheet makes the browser style the whole
    page again.
    """
    return f'{STYLE if style else ""}<div class="ml {name}">{body}</div>'
