import numpy as np

from raynas.metrics.cost import count_macs, count_params
from raynas.metrics.latency_predictor.described import Describer, described_each
from raynas.search_spaces import MLP
from raynas.search_spaces.nasbench201 import from_arch_str
from tests.metrics.latency_predictor.made_up import SPACE, cells

DEAD_END = from_arch_str("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")


def test_operations_that_the_output_does_not_need_are_counted() -> None:
    describer = Describer.seen(SPACE, [DEAD_END])
    assert describer.labels == ("input", "none", "nor_conv_3x3", "output", "skip_connect")
    described = describer([DEAD_END])
    assert described.groups["operations"].tolist() == [[1, 4, 1, 1, 1]]
    assert len(described.graphs[0]) == 8
    assert "nor_conv_3x3" not in SPACE.operation_graph(DEAD_END).labels


def test_costs_are_those_of_the_network() -> None:
    model = SPACE.build(DEAD_END)
    (costs,) = Describer.seen(SPACE, [DEAD_END])([DEAD_END]).groups["costs"]
    assert (costs * 1e6).round().tolist() == [count_params(model), count_macs(model, SPACE.input_shape)]


def test_an_unknown_operation_is_not_counted() -> None:
    assert Describer(SPACE, ["input"])([DEAD_END]).groups["operations"].tolist() == [[1]]


def test_lists_are_described_as_alone() -> None:
    archs, describer = cells(6), Describer.seen(SPACE, cells(6))
    first, second = described_each(describer, [archs[:4], archs[:1:-1]])
    np.testing.assert_array_equal(first.matrix, describer(archs[:4]).matrix)
    np.testing.assert_array_equal(second.matrix, describer(archs[:1:-1]).matrix)
    assert second.graphs == describer(archs[:1:-1]).graphs


def test_a_space_without_cells() -> None:
    space = MLP(input_shape=(1, 8, 8))
    archs = list(space.showcase(4))
    described = Describer.seen(space, archs)(archs)
    assert len(described) == len(archs) == len(described.matrix)
    assert np.isfinite(described.matrix).all()
