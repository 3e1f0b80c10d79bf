"""A given model, with its weights, as a search space."""

from raynas.converting.conversion import convert
from raynas.converting.options import Depth, Width
from raynas.converting.space import ConvertedSpace

__all__ = ["ConvertedSpace", "Depth", "Width", "convert"]
