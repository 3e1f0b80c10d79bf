"""Pictures of architectures as SVG or PNG: cells, networks block by block, or decisions."""

from raynas.drawing.architecture import draw, picture_of
from raynas.drawing.picture import Arrow, Box, Picture
from raynas.drawing.render import figure, write

__all__ = ["Arrow", "Box", "Picture", "draw", "figure", "picture_of", "write"]
