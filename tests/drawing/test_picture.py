import pytest

from raynas.drawing import Arrow, Box, Picture
from raynas.errors import RaynasError


@pytest.mark.parametrize(
    ("boxes", "arrows", "message"),
    [
        ([], [], "needs boxes"),
        ([Box("a"), Box("a")], [], "different names"),
        ([Box("a")], [Arrow("a", "b")], "'b'"),
        ([Box("a"), Box("b", panel="other")], [Arrow("a", "b")], "stay in its panel"),
        ([Box("a"), Box("b")], [Arrow("a", "b"), Arrow("b", "a")], "cycle"),
        ([Box("a")], [Arrow("a", "a")], "cycle"),
    ],
)
def test_refuses_impossible_pictures(boxes: list[Box], arrows: list[Arrow], message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        Picture(boxes, arrows)
