from raynas.drawing import Arrow
from raynas.drawing.decisions import decisions_picture


def test_decisions_are_grouped_by_prefix() -> None:
    picture = decisions_picture(
        {"depth": 2, "norm": "batch", "layers.0.op": "conv", "layers.0.k": 3, "layers.1.op": "pool"}
    )
    assert [box.shown for box in picture.boxes] == [
        "depth = 2\nnorm = batch",
        "layers.0\nop = conv\nk = 3",
        "layers.1\nop = pool",
    ]
    assert picture.arrows == [Arrow("layers.0", "layers.1")]
