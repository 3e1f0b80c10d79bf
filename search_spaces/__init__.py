"""Published search spaces, one file each."""

# Bare, a folder of the user's with the same name would shadow this one in Ray workers.
if not __name__.startswith("raynas."):
    raise ImportError(f"import raynas.{__name__}: {__name__!r} is a part of raynas, not a top-level package")

from raynas.search_spaces.cnn import CNN
from raynas.search_spaces.mlp import MLP
from raynas.search_spaces.nasbench201 import NASBench201
from raynas.space import SearchSpace

__all__ = ["CNN", "MLP", "SEARCH_SPACES", "NASBench201"]

SEARCH_SPACES: dict[str, type[SearchSpace]] = {"cnn": CNN, "mlp": MLP, "nasbench201": NASBench201}
"""The catalogue, the only list of its names; every space can be made without arguments."""
