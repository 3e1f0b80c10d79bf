from raynas.drawing import Box, Picture
from tests.drawing.legible import rendered


def test_panels_stand_one_below_the_other() -> None:
    boxes = [Box("a", panel="first"), Box("b", panel="second")]
    heights = {text: at.y0 for text, at in rendered(Picture(boxes, title="both"))[0]}
    assert sorted(heights, key=heights.__getitem__, reverse=True) == ["both", "first", "a", "second", "b"]
