import csv
import gzip
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from raynas.architecture import Architecture
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params, untrained_metrics
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import EDGES, OPERATIONS, from_arch_str, to_arch_str

TABLE = Path(os.environ.get("RAYNAS_SHARED", Path(__file__).parents[3] / "shared" / "data")) / "nb201_cifar10.csv.gz"

# Architecture, parameters and multiply-adds as the benchmark publishes them for CIFAR-10.
GOLDEN = [
    (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        129_306,
        15_647_370,
    ),
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
        802_426,
        113_951_370,
    ),
    (
        "|avg_pool_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
        559_386,
        78_561_930,
    ),
    (
        "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|",
        73_306,
        7_783_050,
    ),
    (
        "|skip_connect~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        344_346,
        47_104_650,
    ),
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|",
        1_073_466,
        153_272_970,
    ),
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        1_531_546,
        220_119_690,
    ),
    (
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        73_306,
        7_783_050,
    ),
]

SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


@pytest.mark.parametrize(("text", "params", "macs"), GOLDEN)
def test_costs_are_the_benchmarks(text: str, params: int, macs: int) -> None:
    space = NASBench201()
    model = space.build(from_arch_str(text))
    assert count_params(model) == params
    assert count_macs(model, space.input_shape) == macs


@pytest.mark.skipif(not TABLE.exists(), reason=f"no table of NAS-Bench-201 at {TABLE}; set RAYNAS_SHARED to its folder")
def test_costs_are_the_benchmarks_in_random_rows() -> None:
    with gzip.open(TABLE, "rt") as file:
        rows = list(csv.DictReader(file))
    metrics = untrained_metrics(NASBench201())
    for i in np.random.default_rng(0).choice(len(rows), 40, replace=False):
        arch = from_arch_str(rows[i]["arch_str"])
        assert to_arch_str(arch) == rows[i]["arch_str"]
        assert metrics["params"](arch) == round(float(rows[i]["params_M"]) * 1e6), rows[i]
        assert metrics["macs"](arch) == round(float(rows[i]["macs_M"]) * 1e6), rows[i]


def test_has_the_benchmarks_size() -> None:
    assert NASBench201().size == 15_625
    assert NASBench201().n_features == 30


def test_decisions_do_not_depend_on_the_size_of_the_networks() -> None:
    small = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8), n_classes=3)
    assert list(small.decisions) == list(NASBench201().decisions)
    arch = from_arch_str(SKIPS)
    assert small.build(arch)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    assert count_params(replace(small, channels=8).build(arch)) > 3 * count_params(small.build(arch))
    assert sum(type(m).__name__ == "Cell" for m in replace(small, cells=4).build(arch)) == 12  # type: ignore[attr-defined]


@pytest.mark.parametrize("side", [1, 7, 30])
def test_takes_images_of_any_size(side: int) -> None:
    space = NASBench201(channels=2, cells=1, input_shape=(3, side, side))
    assert space.build(from_arch_str(SKIPS)).eval()(torch.zeros(1, 3, side, side)).shape == (1, 10)


def test_all_cells_are_the_same() -> None:
    arch = from_arch_str(SKIPS.replace("skip_connect~1", "nor_conv_3x3~1"))
    cells = [m for m in NASBench201(channels=2).build(arch) if type(m).__name__ == "Cell"]  # type: ignore[attr-defined]
    assert len(cells) == 15
    for cell in cells:
        assert {name: type(edge) for name, edge in cell.named_children()} == {
            f"edge_{s}_{t}": nn.Sequential if s == 1 else nn.Identity for s, t in EDGES
        }


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("none", 0.0), ("skip_connect", 4.0), ("avg_pool_3x3", 4.0)],
)
def test_nodes_add_up_their_edges(operation: str, expected: float) -> None:
    text = SKIPS.replace("skip_connect", operation)
    cell = NASBench201(channels=2, cells=1).build(from_arch_str(text))[2]  # type: ignore[index]
    # With edges that keep a constant image, node 1 is x, node 2 is 2x, node 3 is 4x.
    assert torch.equal(cell(torch.ones(1, 2, 4, 4)), torch.full((1, 2, 4, 4), expected))


def test_edges_lead_where_the_notation_says() -> None:
    only = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    cell = NASBench201(channels=2, cells=1).build(from_arch_str(only)).eval()[2]  # type: ignore[index]
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(cell(x), cell.edge_0_1(x))


def test_notation_round_trip() -> None:
    space = NASBench201()
    for arch in list(space.enumerate())[::101]:
        assert from_arch_str(to_arch_str(arch)) == arch
    assert from_arch_str(SKIPS) == Architecture({f"edge_{s}_{t}": "skip_connect" for s, t in EDGES})


def test_notation_lists_edges_in_the_benchmarks_order() -> None:
    text = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert dict(from_arch_str(text)) == {
        "edge_0_1": "none",
        "edge_0_2": "skip_connect",
        "edge_1_2": "nor_conv_1x1",
        "edge_0_3": "nor_conv_3x3",
        "edge_1_3": "avg_pool_3x3",
        "edge_2_3": "none",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        SKIPS[:-1],
        SKIPS + "|",
        " " + SKIPS,
        SKIPS + "\n",
        SKIPS.replace("~2", "~1"),
        SKIPS.replace("+", "-"),
        SKIPS.replace("skip_connect~2", "conv_7x7~2"),
        "|none~0|+|none~0|none~1|",
        "+".join([SKIPS, SKIPS]),
    ],
)
def test_malformed_notation_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SpaceError, match=r"cannot read .* with OP one of none, skip_connect") as error:
        from_arch_str(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"edge_0_1": "conv_7x7"}, {"edge_0_4": "none"}])
def test_only_members_can_be_written(change: dict[str, str]) -> None:
    with pytest.raises(SpaceError, match="not an architecture of NAS-Bench-201"):
        to_arch_str({**from_arch_str(SKIPS), **change})


@pytest.mark.parametrize(
    "sizes", [{"cells": 0}, {"channels": 0}, {"n_classes": 0}, {"input_shape": (3, 32)}, {"input_shape": (0, 8, 8)}]
)
def test_refuses_impossible_sizes(sizes: dict[str, int]) -> None:
    with pytest.raises(SpaceError, match="at least 1"):
        NASBench201(**sizes)  # type: ignore[arg-type]


def test_operations_are_the_benchmarks() -> None:
    assert tuple(OPERATIONS) == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
