"""A wider network computes the same function; layers that cannot be widened are refused with the reason."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raynas.errors import RaynasError
from raynas.nn.morphism.widening import widen
from tests.nn.morphism.networks import (
    Depthwise,
    Joined,
    Plain,
    Residual,
    Spatial,
    TwoJoined,
    conv_bn,
    result,
    shapes,
    trained,
)

torch.set_num_threads(1)


class Attending(nn.Module):
    """Weights over channels, and a path that the code chooses by a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.scores = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)
        self.act = nn.PReLU(4)
        self.free, self.head = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.values(x)) * self.scores(x).softmax(1).sum(1, keepdim=True)
        for _ in range(x.shape[1]):
            out = out + 1
        return torch.as_tensor(self.head(self.free(out)))


WIDENED = [
    (Plain, "conv1", {"conv1.weight": (11, 2, 3, 3), "bn1.running_var": (11,), "conv2.weight": (5, 11, 3, 3)}),
    (Plain, "conv2", {"conv2.weight": (11, 6, 3, 3), "hidden.weight": (12, 44)}),
    (Plain, "hidden", {"hidden.weight": (11 + 4, 20), "bn3.weight": (15,), "head.weight": (3, 15)}),
    (Residual, "first.1", {"first.1.weight": (11, 6, 3, 3), "first.4.weight": (6, 11, 3, 3)}),
    (Residual, "first.4", {"stem.0.weight": (11, 2, 3, 3), "second.1.weight": (11, 11, 3, 3), "head.weight": (3, 11)}),
    (Residual, "stem.0", {"first.4.weight": (11, 4, 3, 3), "second.2.running_mean": (11,)}),
    (Joined, "left.0", {"norm.weight": (26,), "shortcut.weight": (26, 2, 1, 1), "head.2.weight": (3, 104)}),
    (Joined, "right.0", {"norm.weight": (17,), "shortcut.weight": (17, 2, 1, 1), "head.2.weight": (3, 68)}),
    (Spatial, "conv", {"norm.weight": (11,), "gate.weight": (1, 11, 1, 1), "head.weight": (3, 11)}),
    (Depthwise, "expand.0", {"depthwise.0.weight": (11, 1, 3, 3), "excite.weight": (11, 2, 1, 1)}),
    (Depthwise, "excite", {"twofold.weight": (22, 1, 3, 3), "project.0.weight": (3, 22, 1, 1)}),
    (Depthwise, "squeeze", {"squeeze.weight": (11, 6, 1, 1), "excite.weight": (6, 11, 1, 1)}),
    (Attending, "free", {"free.weight": (11, 4, 1, 1), "head.weight": (2, 11, 1, 1)}),
]


@pytest.mark.parametrize(("make", "layer", "expected"), WIDENED)
def test_widening_keeps_the_function(make: type[nn.Module], layer: str, expected: dict[str, tuple[int, ...]]) -> None:
    model, example = trained(make)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    n_out = 15 if layer == "hidden" else 11
    wider = widen(model, layer, n_out, input_example=example, rng=np.random.default_rng(0))
    assert shapes(wider).items() >= expected.items()
    other = torch.randn(3, 2, 10, 10)  # not the batch that the function was checked with
    torch.testing.assert_close(result(wider, other), result(model, other), atol=1e-5, rtol=1e-5)
    assert [module.training for module in wider.modules()] == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    wider.train()(example).sum().backward()
    assert all(parameter.grad is not None for parameter in wider.parameters())


def test_widening_keeps_the_function_of_a_batch_in_training() -> None:
    model, example = trained(Residual)
    wider = widen(model, "stem.0", 9, input_example=example, rng=np.random.default_rng(0))
    torch.testing.assert_close(wider.train()(example), model.train()(example), atol=1e-4, rtol=1e-4)


def test_widening_replicates_random_units_and_divides_by_their_number() -> None:
    """Equation 2 of the paper, on its example of a layer of 2 units that becomes one of 3 (figure 2)."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        model.get_parameter("2.weight").copy_(torch.tensor([[5.0, 6.0]]))
    seen = set()
    for seed in range(8):
        wider = widen(model, "0", 3, input_example=torch.ones(1, 2), rng=np.random.default_rng(seed))
        copied = wider.get_parameter("0.weight")[2].tolist()
        seen.add(tuple(copied))
        assert wider.get_parameter("0.weight")[:2].tolist() == [[1.0, 2.0], [3.0, 4.0]]
        halved = [[2.5, 6.0, 2.5]] if copied == [1.0, 2.0] else [[5.0, 3.0, 3.0]]
        assert wider.get_parameter("2.weight").tolist() == halved
    assert seen == {(1.0, 2.0), (3.0, 4.0)}


def test_noise_breaks_the_symmetry_of_copies_only() -> None:
    model, example = trained(Plain)
    wider = widen(model, "conv1", 12, input_example=example, rng=np.random.default_rng(0), noise=0.01)
    old, new = (m.get_parameter("conv1.weight").detach() for m in (model, wider))
    assert torch.equal(new[:6], old)
    distances = (new[6:, None] - old).abs().amax((2, 3, 4)).amin(1)
    assert bool((distances > 0).all()) and float(distances.max()) < 0.05 * float(old.std())
    assert not torch.equal(result(wider, example), result(model, example))
    torch.testing.assert_close(result(wider, example), result(model, example), atol=0.05, rtol=0.05)


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)
        self.last = nn.Conv2d(4, 4, 1)
        self.twice = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.grouped(self.norm(self.conv(x)))))
        out: Tensor = x + self.last(x).view(-1, 4, 6, 6)
        return out


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.conv(x).mean((2, 3)).view(-1, 4))
        return out


class Input(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x + self.conv(x)).amax((1, 2, 3))
        return out


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x) if x.sum() > 0 else x
        return out


REFUSED = [
    (Plain, "conv7", 8, "must be called once in a forward pass, got 0; known: conv1, bn1"),
    (Plain, "bn1", 8, "only a convolution without groups or a linear layer"),
    (Plain, "conv1", 6, "needs n_out > 6, which it has, got 6"),
    (Plain, "head", 8, "they belong to an output of the model"),
    (Depthwise, "twofold", 24, "a depthwise one is widened with the layer before it"),
    (Spatial, "gate", 8, "operation 'mul' .* broadcast"),
    (Norms, "conv", 8, r"layer 'norm' \(GroupNorm\)"),
    (Norms, "twice", 8, "called once in a forward pass, got 2"),
    (Norms, "last", 8, "they belong to an output of the model"),
    (Fixed, "conv", 8, "which may hold sizes in its code"),
    (Input, "conv", 8, "they belong to an input of the model"),
    (Branching, "conv", 8, "cannot be traced, as its control flow must not depend on its input"),
    (TwoJoined, "whole", 8, "joins them with others"),
    (Attending, "values", 8, r"nothing is known of layer 'act' \(PReLU\)"),
    (Attending, "scores", 8, "operation '_softmax' computes with all of them"),
]


@pytest.mark.parametrize(("make", "layer", "n_out", "reason"), REFUSED)
def test_what_cannot_be_widened_says_why(make: type[nn.Module], layer: str, n_out: int, reason: str) -> None:
    model, example = (make(), torch.randn(2, 2, 10, 10)) if make is Branching else trained(make)
    with pytest.raises(RaynasError, match=reason):
        widen(model, layer, n_out, input_example=example, rng=np.random.default_rng(0))


def test_a_part_of_a_concatenation_can_be_widened_where_the_whole_cannot() -> None:
    model, example = trained(TwoJoined)
    wider = widen(model, "left", 4, input_example=example, rng=np.random.default_rng(0))
    assert wider.get_parameter("whole.weight").shape == (7, 2, 1, 1)
    torch.testing.assert_close(result(wider, example), result(model, example), atol=1e-5, rtol=1e-5)


def test_weights_that_are_shared_are_not_torn_apart() -> None:
    model, example = trained(Residual)
    first = model.get_submodule("first.1")
    first.weight = nn.Parameter(torch.randn(6, 6, 3, 3))
    model.first = nn.Sequential(nn.ReLU(), first, nn.ReLU(), *conv_bn(6, 6))
    model.second = nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, bias=False))
    model.get_submodule("second.1").weight = first.weight
    with pytest.raises(RaynasError, match="its weights are not its own"):
        widen(model, "first.1", 8, input_example=example, rng=np.random.default_rng(0))
