"""Supernets of elastic layers in a row."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from raynas.nn import (
    ModelSpace,
    Size,
    Supernet,
)
from raynas.nn.elastic import ElasticLayer

WIDTHS = (2, 4, 6)


def supernet_of(*layers: Callable[[], nn.Module], shape: tuple[int, ...] = (4, 8, 8)) -> Supernet:
    """The supernet of layers in a row; layer i is ``net[i]``."""
    torch.manual_seed(0)
    return Supernet(ModelSpace(lambda: nn.Sequential(*(make() for make in layers)), input_shape=shape))


def images(*shape: int) -> Tensor:
    return torch.randn(*(shape or (3, 4, 8, 8)), generator=torch.Generator().manual_seed(1))


def layer_of(supernet: Supernet, i: int = 0) -> ElasticLayer:
    layer = supernet.net[i]  # type: ignore[index]
    assert isinstance(layer, ElasticLayer)
    return layer


def open_width(label: str = "width") -> Size:
    return Size(WIDTHS, label)
