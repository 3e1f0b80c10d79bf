from typing import Any

import pytest
import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.search_spaces import MLP

ARCH: dict[str, Option] = {
    "n_layers": 2,
    "activation": "gelu",
    "dropout": 0.2,
    "norm": "batch",
    "layers.0.width": 64,
    "layers.1.width": 32,
}


def test_gives_the_chosen_layers() -> None:
    hidden = [nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Dropout]
    model = MLP(input_shape=(5,), n_classes=3).build(ARCH)
    assert [type(module) for module in model.children()] == [nn.Flatten, *hidden, *hidden, nn.Linear]
    assert [(m.in_features, m.out_features) for m in model.children() if isinstance(m, nn.Linear)] == [
        (5, 64),
        (64, 32),
        (32, 3),
    ]


def test_leaves_out_what_is_not_chosen() -> None:
    model = MLP(input_shape=(5,)).build({**ARCH, "n_layers": 1, "dropout": 0.0, "norm": "none"})
    assert [type(module) for module in model.children()] == [nn.Flatten, nn.Linear, nn.GELU, nn.Linear]


def test_costs_what_its_matrices_say() -> None:
    model = MLP(input_shape=(5,), n_classes=3).build({**ARCH, "norm": "none"})
    weights = 6 * 64 + 65 * 32 + 33 * 3
    assert count_params(model) == weights
    assert count_macs(model, (5,)) == weights


def test_flattens_any_input() -> None:
    space = MLP(input_shape=(2, 3, 4))
    assert space.build(ARCH)(torch.zeros(2, 2, 3, 4)).shape == (2, 10)


def test_size_counts_widths_of_existing_layers_only() -> None:
    space = MLP(max_layers=2, widths=(8, 16), dropouts=(0.0,))
    assert space.size == 4 * 1 * 3 * (2 + 2 * 2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"input_shape": (0,)}, "at least 1"),
        ({"max_layers": 0}, "at least 1"),
        ({"widths": (8, 0)}, "at least 1"),
        ({"n_classes": 0}, "at least 1"),
        ({"dropouts": (-0.1,)}, r"dropouts must be in \[0, 1\)"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        MLP(**sizes)
