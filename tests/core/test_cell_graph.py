import pytest

from raynas.core.cell_graph import CellEdge, CellGraph, State, depths_of
from raynas.errors import RaynasError


def test_depth_is_the_longest_path() -> None:
    edges = [("a", "d"), ("c", "d"), ("a", "b"), ("b", "c")]
    assert depths_of(["d", "a", "b", "c", "alone"], edges) == {"d": 3, "a": 0, "b": 1, "c": 2, "alone": 0}


def test_a_title_is_shown_instead_of_the_name() -> None:
    assert State("0").shown == "0" and State("0", "cell k").shown == "cell k"


def test_edges_of_zeros_enter_nothing() -> None:
    out = State("out", role="output")
    edges = [CellEdge("in", "out", "none", is_zero=True), CellEdge("in", "out", "conv"), CellEdge("in", "sum")]
    cell = CellGraph([State("in"), State("sum"), out], edges)
    assert cell.entering(out) == [edges[1]]


@pytest.mark.parametrize(
    ("states", "edges", "message"),
    [
        ([], [], "needs states"),
        ([State("a"), State("a")], [], "different names"),
        ([State("a")], [CellEdge("a", "b")], "'b'"),
        ([State("a")], [CellEdge("b", "a")], "'b'"),
        ([State("a"), State("b")], [CellEdge("a", "b"), CellEdge("b", "a")], "cycle"),
        ([State("a")], [CellEdge("a", "a")], "cycle"),
    ],
)
def test_refuses_what_is_no_cell(states: list[State], edges: list[CellEdge], message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        CellGraph(states, edges)
