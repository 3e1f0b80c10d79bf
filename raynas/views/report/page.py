"""A report page as one HTML file that loads nothing: no network, no server, no file beside it.

Figures are drawn by plotly's script, which is inside, compressed: 4.8 MB become 2.0, so that the page stays below 5 MB
with ten thousand trials. A policy in its head forbids the browser to load anything, and to run any script but that of
the page, whatever an archive holds.
"""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from raynas.views.report.blocks import Block, Chart, Code, Facts, Image, Page, Text
from raynas.views.report.tables import Table

ASSETS = Path(__file__).parent
STYLE, SCRIPT = "page.css", "page.js"


def as_html(page: Page, *, level: int = 6) -> str:
    """Return a report as HTML.

    Args:
        page: the report.
        level: of the compression of its figures, 1 to 9.
    """
    script = (ASSETS / SCRIPT).read_text(encoding="utf-8")
    charts = [block for section in page.sections for block in section.blocks if isinstance(block, Chart)]
    data = {chart.name: {"figure": chart.figure, "data": chart.data} for chart in charts}
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    links = "".join(f'<a href="#s{i}">{_plain(s.title)}</a>' for i, s in enumerate(page.sections))
    body = "".join(
        f'<section id="s{i}"><h2>{_plain(section.title)}</h2>{"".join(map(_block, section.blocks))}</section>\n'
        for i, section in enumerate(page.sections)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n{_policy(script)}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_plain(page.title)}</title>\n<style>{(ASSETS / STYLE).read_text(encoding='utf-8')}</style></head>\n"
        f"<body><header><h1>{_plain(page.title)}</h1><p>{_plain(page.lead)}</p><nav>{links}</nav></header>\n"
        f'<main>\n<p id="trouble" hidden></p>\n{body}</main>\n'
        f'<script type="application/octet-stream" id="data">{_packed(text, level)}</script>\n'
        f'<script type="application/octet-stream" id="plotly">{_plotly()}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def _policy(script: str) -> str:
    """Return what lets the browser run this script alone and load nothing; plotly compiles code, hence the eval."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        "img-src data: blob:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}' 'unsafe-eval'",
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">'


def _plain(text: str) -> str:
    return html.escape(text)


def _block(block: Block) -> str:
    match block:
        case Text():
            return f"<p{' class=strong' if block.strong else ''}>{_plain(block.text)}</p>\n"
        case Facts():
            rows = "".join(f"<tr><th>{_plain(a)}</th><td>{_plain(b)}</td></tr>" for a, b in block.rows)
            return f'<table class="facts">{rows}</table>\n'
        case Table():
            return _table(block.titles, block.rows)
        case Code():
            text = f"<pre>{_plain(block.text)}</pre>"
            if block.folded:
                return f"<details><summary>{_plain(block.title)}</summary>{text}</details>\n"
            return (f"<p>{_plain(block.title)}:</p>" if block.title else "") + f"{text}\n"
        case Image():
            source = base64.b64encode(block.svg).decode()
            size = f"width:{block.width}px;max-width:max(100%,{min(block.width, 560)}px)"
            image = f'<img alt="{_plain(block.alt)}" style="{size}" src="data:image/svg+xml;base64,{source}">'
            return f'<div class="wide">{image}</div>\n'
        case Chart():
            return "".join(_chart(block))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_plain(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{_plain(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
    )


def _chart(chart: Chart) -> Iterator[str]:
    height = int(chart.figure["layout"]["height"])
    wide = f"min-width:{chart.min_width}px;" if chart.min_width else ""
    plot = f'<div class="chart" id="chart-{_plain(chart.name)}" style="{wide}height:{height}px"></div>'
    if chart.data:
        yield (
            '<form><label>across <select id="x"></select></label> <label>up <select id="y"></select></label> '
            '<label><input type="checkbox" id="log"> log</label> '
            '<button type="button" id="csv">CSV of all trials</button></form>\n'
        )
    plot = f'<div class="wide">{plot}</div>\n'
    yield f"<details><summary>{_plain(chart.title)}</summary>{plot}</details>\n" if chart.folded else plot


def _packed(text: str, level: int) -> str:
    return base64.b64encode(gzip.compress(text.encode(), level, mtime=0)).decode()


@lru_cache(maxsize=1)
def _plotly() -> str:
    script = files("plotly") / "package_data" / "plotly.min.js"
    return _packed(script.read_text(encoding="utf-8"), 6)
