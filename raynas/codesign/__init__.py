"""Codesign: an accelerator as further decisions of a search space, and what a network costs on it."""

from raynas.codesign.accelerator import DATAFLOWS, Accelerator
from raynas.codesign.cost_model import AcceleratorCost, cost_on
from raynas.codesign.metrics import accelerator_metrics
from raynas.codesign.products import MatrixProduct, products_of
from raynas.codesign.space import AcceleratorSpace, CodesignSpace

__all__ = [
    "DATAFLOWS",
    "Accelerator",
    "AcceleratorCost",
    "AcceleratorSpace",
    "CodesignSpace",
    "MatrixProduct",
    "accelerator_metrics",
    "cost_on",
    "products_of",
]
