"""The picture of the winner."""

import io
import logging
import re
from pathlib import Path

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.drawing import figure, picture_of
from raynas.drawing.decisions import decisions_picture
from raynas.errors import ContentError, one_line
from raynas.files.content import read_file
from raynas.views.report.blocks import Image

logger = logging.getLogger(__name__)

MAX_BYTES = 2**20
"""Largest picture that is put into a report."""

PIXELS_PER_POINT = 96 / 72


def winner_picture(space: SearchSpace, arch: Architecture, directory: Path | None = None) -> Image | None:
    """Return the picture of an architecture: drawn, or where the space has no code, as an earlier report drew it.

    Args:
        space: of the architecture; one that was read from an archive has no decisions.
        arch: the winner.
        directory: of an earlier report.

    Returns:
        None if it cannot be drawn, or is too large.
    """
    name = picture_name(arch)
    svg = _drawn(space, arch) if space.decisions else _stored(directory, name) or _drawn(None, arch)
    if not svg or len(svg) > MAX_BYTES:
        return None
    width = re.search(rb'<svg [^>]*?width="([\d.]+)pt"', svg[:2000], re.DOTALL)
    pixels = round(float(width[1]) * PIXELS_PER_POINT) if width else 640
    return Image(svg=svg, name=name, alt=f"the network of {arch.key}", width=pixels)


def picture_name(arch: Architecture) -> str:
    """Return the name of the file with the picture of an architecture."""
    return f"network_{arch.key}.svg"


def _drawn(space: SearchSpace | None, arch: Architecture) -> bytes:
    try:
        picture = picture_of(space, arch) if space else decisions_picture(arch)
        file = io.BytesIO()
        figure(picture).savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()
    except Exception as error:  # code of the user's builds the network
        logger.warning("the winner could not be drawn: %s", one_line(error))
        return b""


def _stored(directory: Path | None, name: str) -> bytes:
    try:
        return read_file(directory / name, MAX_BYTES) if directory else b""
    except (OSError, ContentError):
        return b""
