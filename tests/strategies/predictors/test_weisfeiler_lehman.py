from collections import Counter
from itertools import permutations

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.operation_graph import OperationGraph
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.strategies.predictors.weisfeiler_lehman import Embedding, Patterns

DIAMOND = OperationGraph(("in", "conv", "pool", "conv", "out"), ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)))
CHAIN = OperationGraph.chain(["in", "conv", "conv", "out"])


def histograms(graph: OperationGraph, max_height: int) -> list[dict[str, int]]:
    patterns = Patterns()
    counted = patterns.counts(graph, max_height)
    return [{patterns.text(number): count for number, count in counts.items()} for counts in counted]


def test_histograms_by_hand() -> None:
    """Counted on paper, for a diamond and a chain."""
    assert histograms(DIAMOND, 1) == [
        {"in": 1, "conv": 2, "pool": 1, "out": 1},
        {
            "in → (conv, conv, pool)": 1,
            "(in) → conv → (out)": 2,
            "(in) → pool → (out)": 1,
            "(conv, conv, pool) → out": 1,
        },
    ]
    assert histograms(CHAIN, 2)[1:] == [
        {"in → (conv)": 1, "(in) → conv → (conv)": 1, "(conv) → conv → (out)": 1, "(conv) → out": 1},
        {
            "in → ((in) → conv → (conv))": 1,
            "(in → (conv)) → conv → ((conv) → conv → (out))": 1,
            "((in) → conv → (conv)) → conv → ((conv) → out)": 1,
            "((conv) → conv → (out)) → out": 1,
        },
    ]


def test_graphs_share_the_numbers_of_patterns() -> None:
    patterns = Patterns()
    first, second = patterns.counts(DIAMOND, 1), patterns.counts(CHAIN, 1)
    shared = first[0] & second[0]
    assert {patterns.text(number): count for number, count in shared.items()} == {"in": 1, "conv": 2, "out": 1}
    assert not first[1] & second[1]
    assert {patterns.height(number) for number in first[1]} == {1}


def test_isomorphic_graphs_are_equal() -> None:
    embedding = Embedding(3, assignment=False)
    given = embedding.rows([embedding.entries(DIAMOND)]).toarray()
    for order in permutations(range(1, 4)):
        place = (0, *order, 4)
        labels = [DIAMOND.labels[place.index(i)] for i in range(5)]
        turned = OperationGraph(labels, tuple((place[s], place[t]) for s, t in DIAMOND.edges))
        np.testing.assert_array_equal(embedding.rows([embedding.entries(turned)]).toarray(), given)


def test_cells_with_exchanged_nodes_are_equal() -> None:
    """Nodes 1 and 2 of NAS-Bench-201 may change places where no edge joins them."""
    space, embedding = NASBench201(), Embedding(3, assignment=True)
    first, second, other = (
        embedding.entries(space.operation_graph(from_arch_str(text)))
        for text in (
            "|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|",
            "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|skip_connect~2|",
            "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|",
        )
    )
    assert dict(zip(*first, strict=True)) == dict(zip(*second, strict=True)) != dict(zip(*other, strict=True))


def sampled(n: int) -> list[OperationGraph]:
    space, rng = NASBench201(), np.random.default_rng(0)
    archs: list[Architecture] = [space.sample(rng) for _ in range(n)]
    return [space.operation_graph(arch) for arch in archs]


def test_inner_products_are_the_kernels() -> None:
    """Definitions 5 (subtree kernel) of Shervashidze et al. and 4 (histogram intersection) of Kriege et al."""
    graphs, patterns = sampled(12), Patterns()
    counted = [sum(patterns.counts(graph, 2), Counter[int]()) for graph in graphs]
    for assignment in (False, True):
        embedding = Embedding(2, assignment)
        rows = embedding.rows([embedding.entries(graph) for graph in graphs])
        expected = [[sum(min(a[p], b[p]) if assignment else a[p] * b[p] for p in a) for b in counted] for a in counted]
        np.testing.assert_array_equal((rows @ rows.T).toarray(), expected)
        assert len(embedding.heights) == len(embedding.pattern_of) == rows.shape[1]
        assert set(embedding.heights) == {0, 1, 2}
