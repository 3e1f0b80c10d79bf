from raynas.drawing import Arrow, Box, Picture
from tests.drawing.legible import assert_legible, rendered


def test_depth_gives_the_column_whatever_the_order() -> None:
    arrows = [Arrow("a", "c", "x"), Arrow("c", "b", "y"), Arrow("a", "b", "z")]
    places = {text: at for text, at in rendered(Picture([Box("b"), Box("c"), Box("a")], arrows))[0]}
    assert places["a"].x1 < places["x"].x0 < places["c"].x0 < places["y"].x0 < places["b"].x0


def test_crossings_are_avoided() -> None:
    boxes = [Box(name) for name in ("a", "b", "x", "y", "end")]
    arrows = [Arrow("a", "y", "1"), Arrow("b", "x", "2"), Arrow("x", "end", "3"), Arrow("y", "end", "4")]
    places = {text: at.y0 for text, at in rendered(Picture(boxes, arrows))[0]}
    assert (places["a"] > places["b"]) == (places["y"] > places["x"]) == (places["1"] > places["2"])


def test_several_edges_between_two_nodes_are_all_there() -> None:
    picture = Picture(
        [Box("a"), Box("b")], [Arrow("a", "b", "conv"), Arrow("a", "b", "pool"), Arrow("a", "b", "pool ")]
    )
    assert_legible(picture)
    assert len(rendered(picture)[2]) == 3
