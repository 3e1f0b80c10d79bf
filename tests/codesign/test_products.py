from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.codesign.products import MatrixProduct, Window, products_of
from raynas.errors import RaynasError
from raynas.metrics import count_macs


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = x.unflatten(-1, (4, 8)).transpose(1, 2)
        mixed: torch.Tensor = functional.scaled_dot_product_attention(heads, heads, heads)
        return mixed.transpose(1, 2).flatten(-2)


def products(model: nn.Module, *shape: int) -> list[MatrixProduct]:
    return products_of(model, partial(torch.empty, (1, *shape), device="meta"))


def test_a_convolution_is_a_product_of_windows_and_filters() -> None:
    (found,) = products(nn.Conv2d(6, 10, 3, stride=2, padding=1), 6, 9, 8)
    assert found == MatrixProduct(m=5 * 4, n=10, k=54, groups=1, n_inputs=6 * 9 * 8, window=Window(3, 3, 5, 4))
    (found,) = products(nn.Conv2d(6, 10, (1, 3), groups=2, bias=False), 6, 9, 8)
    assert found == MatrixProduct(m=9 * 6, n=5, k=9, groups=2, n_inputs=3 * 9 * 8, window=Window(1, 3, 9, 6))


def test_a_strided_convolution_of_single_positions_loads_those_only() -> None:
    (found,) = products(nn.Conv2d(4, 3, 1, stride=2, bias=False), 4, 8, 8)
    assert found.elements == {"input": 16 * 4, "weight": 12, "output": 48}


def test_a_depthwise_convolution_is_a_product_for_each_channel() -> None:
    (found,) = products(nn.Conv2d(6, 6, 3, groups=6, bias=False), 6, 8, 8)
    assert found == MatrixProduct(m=36, n=1, k=9, groups=6, n_inputs=64, window=Window(3, 3, 6, 6))


def test_windows_of_one_and_three_dimensions() -> None:
    assert [p.window for p in products(nn.Conv1d(4, 6, 3), 4, 15)] == [Window(1, 3, 1, 13)]
    assert [p.window for p in products(nn.Conv3d(2, 3, 2), 2, 4, 5, 6)] == [Window(2, 2, 3 * 4, 5)]
    assert [p.window for p in products(nn.ConvTranspose2d(4, 6, 3), 4, 5, 6)] == [None]


def test_a_linear_layer_and_attention() -> None:
    assert products(nn.Linear(32, 7), 5, 32) == [MatrixProduct(m=5, n=7, k=32)]
    assert products(Attention(), 5, 32) == [MatrixProduct(5, 5, 8, 4), MatrixProduct(5, 8, 5, 4)]


@pytest.mark.parametrize(
    "model, shape",
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()), (3, 6, 7)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False), (4, 5, 6)),
        (nn.Conv1d(4, 6, 3, dilation=2, groups=2, bias=False), (4, 15)),
        (nn.Conv3d(2, 3, 2, bias=False), (2, 4, 5, 6)),
        (nn.MultiheadAttention(16, 2, bias=False, batch_first=True), None),
    ],
)
def test_the_products_have_all_multiply_adds(model: nn.Module, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        model, shape = SelfAttention(model), (5, 16)
    assert sum(product.macs for product in products(model, *shape)) == count_macs(model, shape) > 0


class SelfAttention(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x, x)[0]  # type: ignore[no-any-return]


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum().item() > 0 else -x


def test_a_network_that_needs_values_is_refused() -> None:
    with pytest.raises(RaynasError, match="cannot run on the meta device"):
        products(Branching(), 3)
