"""A given model, with its weights, as a search space."""

from raynas.converting.conversion import convert
from raynas.converting.options import Depth, Kernel, Resolution, Width
from raynas.converting.space import ConvertedSpace

__all__ = ["ConvertedSpace", "Depth", "Kernel", "Resolution", "Width", "convert"]
