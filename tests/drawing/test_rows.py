from itertools import pairwise

from raynas.drawing import Arrow, Box, Picture
from tests.drawing.legible import assert_legible, rendered


def test_a_chain_is_drawn_in_order_from_left_to_right() -> None:
    texts, _, arrows = rendered(Picture([Box("a"), Box("b"), Box("c")], [Arrow("a", "b"), Arrow("b", "c")]))
    assert [text for text, at in sorted(texts, key=lambda t: t[1].x0)] == ["a", "b", "c"]
    assert len(arrows) == 2


def test_long_chains_go_on_in_the_next_row() -> None:
    names = [f"a block with a name {i}" for i in range(12)]
    picture = Picture([Box(n) for n in names], [Arrow(a, b) for a, b in pairwise(names)])
    places = dict(rendered(picture)[0])
    assert places[names[0]].x0 < places[names[1]].x0
    assert places[names[-1]].y1 < places[names[0]].y0
    assert_legible(picture)
