"""Blocks of spaces."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Option
from raynas.core.blocks import Block, blocks_of, extensions, in_turn
from raynas.core.decision import Decision
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.search_spaces import DARTS, MLP, NASBench201, NASNet
from raynas.testing import ToySpace

SPACES: Sequence[SearchSpace] = [
    DARTS(n_nodes=3),
    NASNet(n_blocks=3),
    NASBench201(),
    NASBench201(operations=("none", "nor_conv_1x1")),
    MLP(max_layers=3),
    ToySpace(),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_every_decision_is_in_one_block_and_what_is_left_open_makes_a_member(space: SearchSpace) -> None:
    blocks = blocks_of(space)
    assert sorted(name for block in blocks for name in block.names) == sorted(d.name for d in space.decisions)
    default = {decision.name: decision.default for decision in space.decisions}
    chosen: dict[str, Option] = {}
    for block in blocks:
        chosen |= {name: default[name] for name in block.names}
        assert block.rest.keys().isdisjoint(chosen)
        space.canonical({**default, **block.rest, **chosen})


def test_names_make_blocks() -> None:
    assert [block.names for block in blocks_of(MLP(max_layers=2))][-2:] == [("layers.0.width",), ("layers.1.width",)]
    assert [block.names for block in blocks_of(ToySpace(n_layers=2))] == [("layers.0",), ("layers.1",), ("head",)]


def test_hyperparameters_come_last() -> None:
    joint = JointSpace(ToySpace(n_layers=1), {"batch": tune.choice([8, 16])})
    assert [block.names for block in blocks_of(joint)] == [("layers.0",), ("head",), ("batch",)]


def cell(**edges: str) -> Mapping[str, Option]:
    return {**{decision.name: "none" for decision in NASBench201().decisions}, **edges}


def test_a_cell_of_nas_bench_201_with_fewer_nodes_computes_what_the_smaller_one_does() -> None:
    """One node: its operation; two: the second adds the input and the first, each through an operation."""
    space = NASBench201()
    one, two, three = space.blocks()
    first, skipped, second = "nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1"
    smallest = space.canonical({**one.rest, "edge_0_1": first})
    assert space.function_key(smallest) == space.function_key(space.canonical(cell(edge_0_3=first)))
    larger = space.canonical({**two.rest, "edge_0_1": first, "edge_0_2": skipped, "edge_1_2": second})
    direct = space.canonical(cell(edge_0_1=first, edge_0_3=skipped, edge_1_3=second))
    assert space.function_key(larger) == space.function_key(direct) != space.function_key(smallest)
    assert three.names == ("edge_0_3", "edge_1_3", "edge_2_3") and not three.rest


def test_nodes_of_darts_that_are_not_there_yet_skip() -> None:
    space = DARTS(n_nodes=3)
    blocks = space.blocks()
    assert [block.names[0] for block in blocks] == [
        f"{cell}.{i}.inputs" for i in range(3) for cell in ("normal", "reduce")
    ]
    first = {"normal.0.inputs": "0+1", "normal.0.op_0": "sep_conv_3x3", "normal.0.op_1": "max_pool_3x3"}
    normal, reduce = space.cell_graphs(space.canonical({**blocks[0].rest, **first}))
    edges = [(edge.source, edge.target, edge.operation) for edge in normal.edges if edge.target != "out"]
    assert edges[:2] == [("0", "2", "sep_conv_3x3"), ("1", "2", "max_pool_3x3")]
    assert edges[2:] == [(str(i), str(t), "skip_connect") for t in (3, 4) for i in (t - 2, t - 1)]
    assert {edge.operation for edge in reduce.edges if edge.target != "out"} == {"skip_connect"}


def test_blocks_of_nasnet_that_are_not_there_yet_double_the_last() -> None:
    """Then only blocks that are there, and a multiple of the last one, reach the output."""
    space = NASNet(n_blocks=3)
    blocks = space.blocks()
    chosen: dict[str, Option] = {}
    for block in blocks[:3]:  # two of the normal cell, one of the other
        chosen |= {name: {"combination": "concat"}.get(name.rsplit(".")[-1], "0") for name in block.names}
    chosen = {name: "sep_conv_3x3" if "op_" in name else option for name, option in chosen.items()}
    normal, reduce = space.cell_graphs(space.canonical({**blocks[2].rest, **chosen}))
    assert [(e.source, e.operation) for e in normal.edges if e.target == "4"] == [("3", "identity")] * 2
    assert [(e.source, e.operation) for e in reduce.edges if e.target == "3"] == [("2", "identity")] * 2
    assert [edge.source for edge in normal.edges if edge.target == "out"] == ["2", "4"]
    assert [edge.source for edge in reduce.edges if edge.target == "out"] == ["4"]


def test_in_turn() -> None:
    blocks = in_turn([{"a": 1, "b": 2}, {"c": 3}, {"d": 4}])
    assert blocks == [
        Block(names=("a", "b"), rest={"c": 3, "d": 4}),
        Block(names=("c",), rest={"d": 4}),
        Block(names=("d",)),
    ]


def _of(space: SearchSpace, *names: str) -> list[Decision]:
    return [decision for decision in space.decisions if decision.name in names]


def test_extensions_take_what_is_active() -> None:
    space, rng = ToySpace(n_layers=1, n_options=3), np.random.default_rng(0)
    found = extensions(_of(space, "layers.0", "head"), {}, 10, rng)
    assert found == [
        {"layers.0": 0},
        {"layers.0": 1},
        {"layers.0": 2, "head": "linear"},
        {"layers.0": 2, "head": "cosine"},
    ]
    assert extensions(_of(space, "head"), {"layers.0": 1}, 10, rng) == [{"layers.0": 1}]


def test_of_many_extensions_some_are_drawn() -> None:
    space = NASNet(n_blocks=2)
    names = space.blocks()[0].names
    found = extensions(_of(space, *names), {"before": 1}, 50, np.random.default_rng(0))
    assert len(found) == 50 and all(options.keys() == {*names, "before"} for options in found)
    assert len({tuple(options.items()) for options in found}) > 40
