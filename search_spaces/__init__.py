"""Published search spaces, one file each."""

# Bare, a folder of the user's with the same name would shadow this one in Ray workers.
if not __name__.startswith("raynas."):
    raise ImportError(f"import raynas.{__name__}: {__name__!r} is a part of raynas, not a top-level package")

from raynas.core.space import SearchSpace
from raynas.search_spaces.cnn import CNN
from raynas.search_spaces.darts import DARTS
from raynas.search_spaces.efficientnet import EfficientNet
from raynas.search_spaces.hierarchical import Hierarchical
from raynas.search_spaces.mlp import MLP
from raynas.search_spaces.mobilenetv3 import MobileNetV3
from raynas.search_spaces.nasbench201 import NASBench201
from raynas.search_spaces.nasbench_macro import NASBenchMacro
from raynas.search_spaces.nasnet import NASNet
from raynas.search_spaces.resnet import ResNet
from raynas.search_spaces.shufflenet import ShuffleNet
from raynas.search_spaces.tree import Tree

__all__ = [
    "CNN",
    "DARTS",
    "MLP",
    "SEARCH_SPACES",
    "EfficientNet",
    "Hierarchical",
    "MobileNetV3",
    "NASBench201",
    "NASBenchMacro",
    "NASNet",
    "ResNet",
    "ShuffleNet",
    "Tree",
]

SEARCH_SPACES: dict[str, type[SearchSpace]] = {
    "cnn": CNN,
    "darts": DARTS,
    "efficientnet": EfficientNet,
    "hierarchical": Hierarchical,
    "mlp": MLP,
    "mobilenetv3": MobileNetV3,
    "nasbench201": NASBench201,
    "nasbench_macro": NASBenchMacro,
    "nasnet": NASNet,
    "resnet": ResNet,
    "shufflenet": ShuffleNet,
    "tree": Tree,
}
"""The catalogue, the only list of its names; every space can be made without arguments."""
