from functools import partial

import pytest
import torch
from torch import Tensor, nn

from raynas.nn import Choice, ModelSpace
from raynas.nn.morphism.lineage import inherit_between

torch.set_num_threads(1)


pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


class Summed(nn.Module):
    """A width of which only the first four channels are read, and a width of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({f"w{n}": partial(nn.Conv2d, 2, n, 1) for n in (4, 6)})
        self.tail = Choice({f"w{n}": partial(nn.Linear, 4, n) for n in (3, 5)})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tail(self.first(x).mean((2, 3))[:, :4])
        return out


def test_a_layer_that_cannot_be_widened_keeps_the_overlap_and_says_why() -> None:
    space = ModelSpace(Summed, input_shape=(2, 8, 8))
    parent = space.build({"first": "w4", "tail": "w3"})
    child = space.build({"first": "w6", "tail": "w5"})
    report = inherit_between(space, {"first": "w4", "tail": "w3"}, parent, {"first": "w6", "tail": "w5"}, child)
    assert report.widened == () and len(report.notes) == 2
    assert "tail.weight would not fit" in report.notes[0] and "an output of the model" in report.notes[1]
    assert torch.equal(child.get_parameter("first.weight")[:4], parent.get_parameter("first.weight"))
    assert report.partly == ("first.weight", "first.bias", "tail.weight", "tail.bias")


class Sum(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class First(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first


class Tied(nn.Module):
    """A sum that ties two layers, and that another option replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.one = Choice({f"w{n}": partial(nn.Conv2d, 2, n, 1) for n in (4, 6)})
        self.two = nn.Conv2d(2, 4, 1)
        self.join = Choice({"sum": Sum, "first": First})
        self.head = nn.LazyConv2d(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.join(self.one(x), self.two(x)))
        return out


def test_a_layer_is_not_widened_where_another_one_would_have_to_grow_too() -> None:
    space, before, after = (
        ModelSpace(Tied, input_shape=(2, 4, 4)),
        {"one": "w4", "join": "sum"},
        {"one": "w6", "join": "first"},
    )
    parent, child = space.build(before), space.build(after)
    report = inherit_between(space, before, parent, after, child)
    assert report.notes == ("one became wider, and only the overlap was copied: two.weight would not fit",)
    assert torch.equal(child.get_parameter("two.weight"), parent.get_parameter("two.weight"))
    assert torch.equal(child.get_parameter("one.weight")[:4], parent.get_parameter("one.weight"))


def test_depthwise_and_dense_kernels_of_one_name_have_nothing_in_common() -> None:
    class Ops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = Choice(
                {"dense": lambda: nn.Conv2d(2, 2, 3, padding=1), "dw": lambda: nn.Conv2d(2, 2, 3, padding=1, groups=2)}
            )

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.op(x)
            return out

    space = ModelSpace(Ops, input_shape=(2, 8, 8))
    child = space.build({"op": "dw"})
    report = inherit_between(space, {"op": "dense"}, space.build({"op": "dense"}), {"op": "dw"}, child)
    assert report.share == 0 and report.fresh == ("op.weight", "op.bias")
