"""The parts of a report page, which HTML and Markdown show each in its way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raynas.views.figures.style import Figure
from raynas.views.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph.

    Args:
        text: plain.
        strong: whether it is a verdict or a warning.
    """

    text: str
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Labels and texts, a line each."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text to be copied.

    Args:
        text: of any number of lines.
        title: above it.
        folded: whether it is shown on demand, as it is long.
    """

    text: str
    title: str = ""
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Image:
    """A picture.

    Args:
        svg: its content.
        name: of its file beside the report.
        alt: text in its place.
        width: in pixels, where there is room.
    """

    svg: bytes
    name: str
    alt: str
    width: int


@dataclass(frozen=True, kw_only=True)
class Chart:
    """An interactive figure; Markdown shows the tables beside it alone, or a picture of the same.

    Args:
        name: an identifier.
        figure: of plotly.
        min_width: pixels below which it is scrolled rather than shrunk; 0 if it always fits.
        folded: whether it is shown on demand, as it is long.
        title: of a folded one.
        pictures: names of picture files of the same beside the report, by title.
        data: further data of an interactive front; see ``front_data``.
    """

    name: str
    figure: Figure
    min_width: int = 0
    folded: bool = False
    title: str = ""
    pictures: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None


Block = Text | Facts | Table | Code | Image | Chart


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of a report.

    Args:
        title: of the section.
        blocks: its parts.
    """

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report.

    Args:
        title: of the search.
        lead: the state of the search in a line.
        sections: its parts.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
