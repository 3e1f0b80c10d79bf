import numpy as np
import pytest

from raynas.core.architecture import Architecture, Option
from raynas.core.cell_graph import CellEdge, CellGraph, State
from raynas.core.joint_space import JointSpace
from raynas.core.operation_graph import OperationGraph
from raynas.errors import RaynasError, SpaceError
from raynas.search_spaces import DARTS, SEARCH_SPACES, NASBench201, NASNet
from raynas.search_spaces.darts_genotype import from_genotype
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.search_spaces.nasnet import NASNET_A
from raynas.testing import ToySpace


def cell(text: str) -> OperationGraph:
    return NASBench201().operation_graph(from_arch_str(text))


def named(graph: OperationGraph) -> set[tuple[str, str]]:
    return {(graph.labels[source], graph.labels[target]) for source, target in graph.edges}


def test_a_node_knows_its_neighbours() -> None:
    graph = OperationGraph(("a", "b", "c"), ((0, 1), (0, 2), (1, 2)))
    assert graph.sources == [[], [0], [0, 1]] and graph.targets == [[1, 2], [2], []]
    assert len(graph) == 3
    assert OperationGraph.chain(["a", "b", "c"]).edges == ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("labels", "edges", "message"),
    [
        ((), (), "needs a node"),
        (("a", "b"), ((0, 1), (0, 1)), "must come once"),
        (("a", "b"), ((1, 0),), "from a lower to a higher"),
        (("a", "b"), ((0, 2),), "of the 2 nodes"),
    ],
)
def test_what_is_no_graph_is_refused(labels: tuple[str, ...], edges: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        OperationGraph(labels, edges)


def test_operations_on_edges_become_nodes() -> None:
    """A state that sums has no node; an edge of zeros is dropped with all that only it feeds."""
    states = [State("in", role="input"), State("sum"), State("unfed"), State("out", role="output")]
    edges = [
        CellEdge("in", "sum", "conv"),
        CellEdge("in", "sum", "pool"),
        CellEdge("in", "unfed", "none", is_zero=True),
        CellEdge("unfed", "sum", "conv"),
        CellEdge("sum", "out", "skip"),
        CellEdge("in", "out"),
    ]
    graph = OperationGraph.of_cells([CellGraph(states, edges)])
    assert sorted(graph.labels) == ["conv", "in", "out", "pool", "skip"]
    assert named(graph) == {
        ("in", "conv"),
        ("in", "pool"),
        ("conv", "skip"),
        ("pool", "skip"),
        ("skip", "out"),
        ("in", "out"),
    }


def test_a_state_with_an_operation_is_a_node() -> None:
    states = [State("in", role="input"), State("join", operation="concat"), State("out", role="output")]
    graph = OperationGraph.of_cells(
        [CellGraph(states, [CellEdge("in", "join", "conv"), CellEdge("in", "join"), CellEdge("join", "out")])]
    )
    assert named(graph) == {("in", "conv"), ("conv", "concat"), ("in", "concat"), ("concat", "out")}


def test_cells_of_nasbench201() -> None:
    chain = cell("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|")
    assert chain == OperationGraph.chain(["input", "nor_conv_3x3", "skip_connect", "avg_pool_3x3", "output"])
    unused = cell("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|none~2|")
    assert unused == OperationGraph.chain(["input", "nor_conv_1x1", "output"])
    nothing = cell("|none~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|")
    assert nothing == OperationGraph(("input", "output"))
    full = cell(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|" + "|".join(f"nor_conv_3x3~{i}" for i in range(3)) + "|"
    )
    # 6 operations; pairs of edges that meet in node 1 or 2: 1 * 2 + 2 * 1; 3 leave the input, 3 enter the output.
    assert len(full) == 8 and len(full.edges) == 4 + 3 + 3


def test_cells_of_darts() -> None:
    arch = from_genotype(
        "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), ('dil_conv_3x3', 2)], "
        "reduce=[('avg_pool_3x3', 0), ('skip_connect', 1), ('sep_conv_5x5', 1), ('skip_connect', 0)])"
    )
    graph = DARTS(n_nodes=2).operation_graph(arch)
    edges = named(graph)
    assert len(graph) == 2 * (2 + 4 + 1)
    assert ("normal cell: sep_conv_3x3", "normal cell: dil_conv_3x3") in edges
    assert ("normal cell: skip_connect", "normal cell: cell k") in edges
    assert ("reduction cell: cell k−1", "reduction cell: sep_conv_5x5") in edges
    assert not any(a.split(":")[0] != b.split(":")[0] for a, b in edges)


def test_cells_of_nasnet() -> None:
    graph = NASNet().operation_graph(NASNET_A)
    assert len(graph) == 2 * (2 + 5 * 3 + 1)
    assert sum(label.endswith(": add") for label in graph.labels) == 10
    # The reduction cell hands on what no other block takes: blocks 2, 3 and 4 of the paper's figure 4, and not 0 and 1.
    (end,) = (i for i, label in enumerate(graph.labels) if label == "reduction cell: cell k")
    assert len(graph.sources[end]) == 3


@pytest.mark.parametrize("name", SEARCH_SPACES)
def test_every_space_has_one(name: str) -> None:
    space = SEARCH_SPACES[name]()
    rng = np.random.default_rng(0)
    for _ in range(10):
        arch = space.sample(rng)
        graph = space.operation_graph(arch)
        assert graph == space.operation_graph(dict(reversed(list(arch.items()))))
        assert len(graph) > 1
    with pytest.raises(SpaceError):
        space.operation_graph({"no such decision": 0})


def test_decisions_are_a_chain_by_default() -> None:
    options: dict[str, Option] = {"layers.0": 1, "layers.1": 0, "head": "linear"}
    space = ToySpace(n_layers=2, n_options=2)
    assert space.operation_graph(options) == OperationGraph.chain(["layers.0=1", "layers.1=0", "head=linear"])


def test_hyperparameters_stand_beside() -> None:
    from ray import tune

    space = JointSpace(
        ToySpace(n_layers=2), {"lr": tune.loguniform(1e-4, 1e-1), "warmup": tune.randint(0, 5), "epochs": 3}
    )
    close, far = (
        space.operation_graph(Architecture({"layers.0": 1, "layers.1": 0, "lr": lr, "warmup": 2}))
        for lr in (0.011, 0.09)
    )
    # Continuous ones are rounded to a tenth of their range: 1e-4 * 1000 ** 0.7.
    assert close == OperationGraph(("layers.0=1", "layers.1=0", "lr=0.0126", "warmup=2"), ((0, 1),))
    assert far.labels[2] == "lr=0.1"
