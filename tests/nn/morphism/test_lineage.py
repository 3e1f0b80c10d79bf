"""Architectures that inherit weights: the same function where it only grew, and a word on what could not be kept."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.errors import RaynasError, SpaceError
from raynas.nn import Choice, ModelSpace, Repeat
from raynas.nn.modes import evaluating
from raynas.nn.morphism.inheritance import Inheritance
from raynas.nn.morphism.lineage import inherit_architecture, inherit_between

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.

Arch = Mapping[str, Option]


def result(model: nn.Module, x: Tensor) -> Tensor:
    with evaluating(model):
        out: Tensor = model(x)
    return out


def conv(n_in: int, n_out: int, kernel: int = 3) -> nn.Sequential:
    layer = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(n_out), nn.ReLU())


class Block(nn.Module):
    """A residual block of He et al.: ReLU behind the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1), nn.Dropout())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x + self.body(x)).relu()
        return out


class Net(nn.Module):
    """One decision of each kind."""

    def __init__(self) -> None:
        super().__init__()
        widths = {f"w{n}": partial(nn.Conv2d, 2, n, 3, padding=1) for n in (4, 6)}
        self.stem = Choice(widths)
        self.norm = nn.Sequential(nn.LazyBatchNorm2d(), nn.ReLU())
        self.mix = nn.LazyConv2d(5, 1)
        self.act = nn.ReLU()
        self.kernel = Choice(
            {"k3": lambda: conv(5, 5, 3), "k5": lambda: conv(5, 5, 5), "pool": lambda: nn.AvgPool2d(1)}
        )
        self.plain = Repeat(lambda i: conv(5, 5), 1, 3)
        self.blocks = Repeat(lambda i: Block(5), 0, 2)
        self.squashing = Repeat(lambda i: nn.Sequential(nn.Conv2d(5, 5, 1), nn.Tanh()), 1, 2)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.kernel(self.act(self.mix(self.norm(self.stem(x)))))
        out: Tensor = self.head(self.squashing(self.blocks(self.plain(x))).mean((2, 3)))
        return out


SPACE = ModelSpace(Net, input_shape=(2, 8, 8))
ARCH: Arch = {"stem": "w4", "kernel": "k3", "plain": 1, "blocks": 1, "squashing": 1}


def parent_of(space: ModelSpace = SPACE, arch: Arch = ARCH) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    parent, example = space.build(arch), torch.randn(16, 2, 8, 8)
    for _ in range(10):
        parent.train()(example)
    return parent, example


def inherited(change: Arch) -> tuple[Inheritance, nn.Module, nn.Module, Tensor]:
    parent, example = parent_of()
    child = SPACE.build({**ARCH, **change})
    report = inherit_between(SPACE, ARCH, parent, {**ARCH, **change}, child, input_example=example)
    return report, parent, child, torch.randn(4, 2, 8, 8)


@pytest.mark.parametrize(
    ("change", "widened", "passing"),
    [
        ({}, (), ()),
        ({"stem": "w6"}, ("stem",), ()),
        ({"kernel": "k5"}, (), ()),
        ({"plain": 3}, (), ("plain.1", "plain.2")),
        ({"blocks": 2}, (), ("blocks.1",)),
        ({"stem": "w6", "kernel": "k5", "plain": 2, "blocks": 2}, ("stem",), ("plain.1", "blocks.1")),
    ],
)
def test_what_grew_computes_the_same(change: Arch, widened: tuple[str, ...], passing: tuple[str, ...]) -> None:
    report, parent, child, x = inherited(change)
    assert (report.widened, report.passing, report.notes) == (widened, passing, ())
    torch.testing.assert_close(result(child, x), result(parent, x), atol=1e-5, rtol=1e-5)
    child.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in child.parameters())


def test_a_new_block_that_cannot_be_the_identity_says_so() -> None:
    report, _, child, _ = inherited({"squashing": 2})
    assert report.passing == ()
    assert report.notes == (
        "block squashing.1 is new and keeps its fresh weights: no setting of them gives the identity",
    )
    torch.manual_seed(1)
    assert float(child.get_parameter("squashing.1.0.weight").detach().std()) > 0.1  # neither zeros nor the identity
    assert report.fresh == ("squashing.1.0.weight", "squashing.1.0.bias")


def test_a_block_that_sees_nothing_but_zeros_is_not_taken_for_the_identity() -> None:
    parent, example = parent_of()
    with torch.no_grad():
        parent.get_parameter("plain.0.1.weight").zero_()
        parent.get_parameter("plain.0.1.bias").fill_(-1.0)
    child = SPACE.build({**ARCH, "plain": 2})
    report = inherit_between(SPACE, ARCH, parent, {**ARCH, "plain": 2}, child, input_example=example)
    assert report.passing == () and len(report.notes) == 1
    assert child.get_parameter("plain.1.1.weight").tolist() == [1.0] * 5  # as it was made


def test_another_option_stays_fresh_and_the_rest_keeps_its_weights() -> None:
    torch.manual_seed(5)
    parent = SPACE.build({**ARCH, "kernel": "pool"})
    torch.manual_seed(6)
    child = SPACE.build(ARCH)
    report = inherit_between(SPACE, {**ARCH, "kernel": "pool"}, parent.state_dict(), ARCH, child)
    assert report.partly == () and all(name.startswith("kernel.") for name in report.fresh)
    assert len(report.fresh) == 6  # a weight and the five tensors of a batch norm
    state = parent.state_dict()
    assert all(torch.equal(child.state_dict()[name], state[name]) for name in report.whole)


def test_what_shrank_keeps_the_overlap() -> None:
    parent, _ = parent_of(arch={**ARCH, "stem": "w6", "plain": 2})
    child = inherit_architecture(SPACE, {**ARCH, "stem": "w6", "plain": 2}, parent, ARCH)
    assert torch.equal(child.get_parameter("stem.weight"), parent.get_parameter("stem.weight")[:4])
    assert torch.equal(child.get_parameter("mix.weight"), parent.get_parameter("mix.weight")[:, :4])
    assert torch.equal(child.get_parameter("plain.0.0.weight"), parent.get_parameter("plain.0.0.weight"))


class Summed(nn.Module):
    """Widths that a sum ties, but whose decisions are two: one cannot grow without the other."""

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
    assert "operation 'getitem'" in report.notes[0] and "network's output" in report.notes[1]
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


def test_the_result_follows_from_the_seed() -> None:
    parent, _ = parent_of()

    def weights(seed: int) -> Callable[[str], Tensor]:
        torch.manual_seed(0)
        child = inherit_architecture(SPACE, ARCH, parent, {**ARCH, "stem": "w6"}, seed=seed)
        return child.get_parameter

    assert torch.equal(weights(0)("stem.weight"), weights(0)("stem.weight"))
    assert any(not torch.equal(weights(0)("stem.weight"), weights(seed)("stem.weight")) for seed in range(1, 6))


def test_the_parents_weights_must_be_those_of_its_architecture() -> None:
    parent, _ = parent_of()
    with pytest.raises(RaynasError, match="not those of the parent's architecture"):
        inherit_architecture(SPACE, {**ARCH, "stem": "w6"}, parent, ARCH)
    with pytest.raises(SpaceError, match="no decision 'depth'"):
        inherit_architecture(SPACE, {"depth": 1}, parent, ARCH)
