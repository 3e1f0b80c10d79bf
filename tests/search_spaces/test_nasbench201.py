"""None"""

import csv
import gzip
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params, untrained_metrics
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import EDGES, OPERATIONS, edge_name, from_arch_str, to_arch_str

SPACE = NASBench201()


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


def cell(*operations: str) -> Architecture:
    return Architecture({edge_name(*edge): operation for edge, operation in zip(EDGES, operations, strict=True)})


def test_cells_of_the_same_function_have_the_same_key() -> None:
    conv, skip, none, pool = "nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3"
    direct = cell(none, none, none, conv, none, none)
    for twin in (
        cell(skip, none, none, none, conv, none),  # a skip is its source
        cell(skip, none, skip, none, none, conv),
        cell(pool, pool, none, conv, none, none),  # what leads nowhere
        cell(none, none, conv, conv, pool, none),  # an operation on zeros
    ):
        assert SPACE.function_key(twin) == SPACE.function_key(direct)
    assert SPACE.function_key(cell(skip, none, none, conv, conv, none)) != SPACE.function_key(
        direct
    )  # twice is not once
    one, other = cell(conv, none, none, none, pool, none), cell(none, conv, none, none, none, pool)
    assert SPACE.function_key(one) == SPACE.function_key(other)  # nodes 1 and 2 change places
    swapped = cell(pool, none, none, none, conv, none)
    assert SPACE.function_key(one) != SPACE.function_key(swapped)  # what comes first matters


def test_twins_compute_the_same() -> None:
    """With equal weights, up to the places of the nodes; pooling and skips have no weights at all."""
    rng = np.random.default_rng(0)
    operations = ("none", "skip_connect", "avg_pool_3x3")
    outputs: dict[object, torch.Tensor] = {}
    x = torch.randn(1, 4, 6, 6)
    for _ in range(60):
        arch = cell(*rng.choice(operations, 6))
        nodes = [x]
        for target in range(1, 4):
            parts = [OPERATIONS[str(arch[edge_name(s, target)])](4, True)(nodes[s]) for s in range(target)]
            nodes.append(sum(parts, torch.zeros_like(x)))
        key = SPACE.function_key(arch)
        torch.testing.assert_close(outputs.setdefault(key, nodes[-1]), nodes[-1])
    assert len(outputs) < 60


def test_how_many_functions_there_are() -> None:
    assert len({SPACE.function_key(arch) for arch in SPACE.enumerate()}) == 4930


def test_fewer_operations_make_a_smaller_space() -> None:
    space = NASBench201(operations=("none", "nor_conv_3x3"), cells=1, channels=2, input_shape=(1, 8, 8))
    assert space.size == 2**6 and all(d.options == space.operations for d in space.decisions)
    arch = next(iter(space.enumerate()))
    assert SPACE.canonical(arch) == arch and space.features(arch)["paths"].shape == SPACE.features(arch)["paths"].shape
    with pytest.raises(SpaceError, match="cannot be 'skip_connect'"):
        space.canonical(from_arch_str(SKIPS))


@pytest.mark.parametrize("operations", [("none",), ("none", "none"), ("none", "conv_7x7")])
def test_operations_must_be_the_benchmarks(operations: tuple[str, ...]) -> None:
    with pytest.raises(SpaceError, match="operations must be two or more of none, skip_connect"):
        NASBench201(operations=operations)


def test_fewer_stages_are_fewer_cells_and_narrower_networks() -> None:
    space = NASBench201(channels=4, cells=2, stages=1, input_shape=(1, 8, 8))
    model = space.build(from_arch_str(SKIPS))
    assert sum(type(m).__name__ == "Cell" for m in model) == 2  # type: ignore[attr-defined]
    # Stem and head alone: 4 filters of 3x3, two batch norms of 4, a classifier of 4 to 10.
    assert count_params(model) == 36 + 16 + 50
    with pytest.raises(SpaceError, match="at least 1"):
        NASBench201(stages=0)
