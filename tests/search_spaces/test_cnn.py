from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.search_spaces import CNN
from raynas.search_spaces.cnn import CONVOLUTIONS, POOLINGS, Residual

CONV: dict[str, Option] = {"op": "conv", "filters": 32, "kernel": 3, "activation": "relu", "dropout": 0.0, "stride": 1}
POOL: dict[str, Option] = {"op": "max_pool", "dropout": 0.0, "stride": 2}


def chain(*layers: Mapping[str, Option]) -> Architecture:
    """Layers one after another; a stride is left out where a layer has no such decision."""
    strided = {d.name for d in CNN().decisions if d.name.endswith("stride")}
    named = {f"layers.{i}.{name}": option for i, layer in enumerate(layers) for name, option in layer.items()}
    kept = {name: option for name, option in named.items() if not name.endswith("stride") or name in strided}
    return Architecture({"n_layers": len(layers), **kept})


def image_sides(model: nn.Module, side: int) -> list[int]:
    """Side of the image after each top-level module that gives one."""
    x, sides = torch.zeros(1, 3, side, side), []
    for module in model.eval().children():
        x = module(x)
        sides += [x.shape[-1]] if x.dim() == 4 else []
    return sides


@pytest.mark.parametrize("op", list(CONVOLUTIONS))
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("stride", "expected"), [(1, 5), (2, 3)])
@pytest.mark.parametrize("n_out", [4, 6])
def test_operations_give_the_shape_they_promise(op: str, kernel: int, stride: int, expected: int, n_out: int) -> None:
    module = CONVOLUTIONS[op](4, n_out, kernel, stride, nn.ReLU)
    assert module(torch.randn(2, 4, 5, 5)).shape == (2, n_out, expected, expected)


@pytest.mark.parametrize("op", list(POOLINGS))
def test_poolings_keep_channels(op: str) -> None:
    assert POOLINGS[op](stride=2)(torch.randn(2, 4, 5, 5)).shape == (2, 4, 3, 3)
    assert count_params(POOLINGS[op](stride=1)) == 0


@pytest.mark.parametrize(
    ("op", "params", "macs_per_pixel"),
    [
        ("conv", 9 * 4 * 8, 9 * 4 * 8),
        ("separable", 9 * 4 + 4 * 8, 9 * 4 + 4 * 8),
        ("mbconv", 4 * 16 + 9 * 16 + 16 * 8, 4 * 16 + 9 * 16 + 16 * 8),
        ("residual", 9 * 4 * 8 + 9 * 8 * 8 + 4 * 8, 9 * 4 * 8 + 9 * 8 * 8 + 4 * 8),
    ],
)
def test_operations_cost_what_their_papers_say(op: str, params: int, macs_per_pixel: int) -> None:
    module = CONVOLUTIONS[op](4, 8, 3, 1, nn.ReLU)
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert sum(map(count_params, convolutions)) == params
    assert count_macs(module, (4, 5, 5)) == 25 * macs_per_pixel


def test_shortcuts_stand_where_the_shape_stays_the_same() -> None:
    assert isinstance(CONVOLUTIONS["mbconv"](4, 4, 3, 1, nn.ReLU), Residual)
    assert not isinstance(CONVOLUTIONS["mbconv"](4, 4, 3, 2, nn.ReLU), Residual)
    assert isinstance(CONVOLUTIONS["residual"](4, 4, 3, 1, nn.ReLU)[0].shortcut, nn.Identity)  # type: ignore[index]
    assert isinstance(CONVOLUTIONS["residual"](4, 8, 3, 1, nn.ReLU)[0].shortcut, nn.Sequential)  # type: ignore[index]


def test_settings_are_active_only_where_they_matter() -> None:
    space = CNN()
    superset = {d.name: d.options[0] for d in space.decisions} | {"n_layers": 2, "layers.1.op": "avg_pool"}
    first = {f"layers.0.{name}" for name in ("op", "filters", "kernel", "activation", "dropout")}
    second = {f"layers.1.{name}" for name in ("op", "dropout", "stride")}
    assert set(space.canonical(superset)) == {"n_layers"} | first | second


@pytest.mark.parametrize(
    ("n_strides", "max_layers", "expected"),
    [(3, 6, [1, 3, 5]), (2, 6, [2, 5]), (6, 6, [0, 1, 2, 3, 4, 5]), (0, 6, []), (3, 4, [1, 2, 3])],
)
def test_strides_are_spread_evenly(n_strides: int, max_layers: int, expected: list[int]) -> None:
    space = CNN(n_strides=n_strides, max_layers=max_layers, input_shape=(3, 64, 64))
    assert [int(d.name.split(".")[1]) for d in space.decisions if d.name.endswith("stride")] == expected


def test_every_stride_halves_the_image() -> None:
    space = CNN(input_shape=(3, 8, 8))
    arch = chain(CONV, POOL, CONV, POOL, CONV, POOL)
    sides = image_sides(space.build(arch), side=8)
    assert sides == [8, 8, 8, 8, 4, 4, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"input_shape": (3, 7, 64)}, "n_strides must be from 0 to 2: .* 7x64 can be halved 2 times; got 3"),
        ({"max_layers": 2}, "n_strides must be from 0 to 2: there are 2 layers"),
        ({"n_strides": -1}, "got -1"),
        ({"kernels": (3, 4)}, "odd kernels"),
        ({"dropouts": (1.0,)}, r"dropouts in \[0, 1\)"),
        ({"input_shape": (8, 8)}, r"\(channels, height, width\)"),
        ({"min_layers": 7}, "min <= max"),
        ({"filters": (0,)}, "sizes >= 1"),
        ({"n_classes": 0}, "sizes >= 1"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        CNN(**sizes)


def test_dropout_is_there_only_if_chosen() -> None:
    rates = [
        [m.p for m in CNN().build(chain({**CONV, "dropout": rate})).modules() if isinstance(m, nn.Dropout)]
        for rate in (0.0, 0.3)
    ]
    assert rates == [[], [0.3]]


def test_a_good_architecture_learns_digits() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels))
    train, test = order[:1400], order[1400:]
    small = {**CONV, "op": "residual", "filters": 32}
    model = CNN(input_shape=(1, 8, 8)).build(chain(small, {**small, "stride": 2}, {**small, "filters": 64}))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        for batch in train[torch.randperm(len(train))].split(50):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = (model.eval()(images[test]).argmax(1) == labels[test]).float().mean().item()
    assert accuracy > 0.97


def test_samples_differ_in_cost() -> None:
    space, rng = CNN(), np.random.default_rng(0)
    with torch.device("meta"):
        params = {count_params(space.build(space.sample(rng))) for _ in range(100)}
    assert len(params) > 80
