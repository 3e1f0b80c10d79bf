"""Precision: bits of each layer as further decisions of a search space, and networks quantized as a point decides."""

from raynas.precision.layers import PRECISIONS, RUNTIMES, Layer, layers_of
from raynas.precision.mixed import MixedNetwork
from raynas.precision.network import RuntimeNetwork
from raynas.precision.quantizer import Quantized, Quantizer
from raynas.precision.score import QuantizedScore
from raynas.precision.space import PrecisionSpace

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "Layer",
    "MixedNetwork",
    "PrecisionSpace",
    "Quantized",
    "QuantizedScore",
    "Quantizer",
    "RuntimeNetwork",
    "layers_of",
]
