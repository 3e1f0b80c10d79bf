"""Networks made wider or deeper compute the same function; what cannot be changed is refused with its reason."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import RaynasError
from raynas.nn.modes import evaluating
from raynas.nn.morphism.net2net import deepen, widen

torch.set_num_threads(1)


def conv_bn(n_in: int, n_out: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out))


class Plain(nn.Module):
    """Convolutions, batch norm, pooling, an image flattened into a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 5, 3, stride=2)
        self.drop = nn.Dropout(0.3)
        self.hidden = nn.Linear(20, 12)
        self.bn3 = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.relu1(self.bn1(self.conv1(x))), 2)
        x = self.drop(functional.relu(self.conv2(x)))
        x = x.view(x.size(0), -1)
        out: Tensor = self.head(functional.gelu(self.bn3(self.hidden(x))))
        return out


class Residual(nn.Module):
    """A sum of what a stem and two branches give; widening any of the three widens all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(2, 6)
        self.first = nn.Sequential(nn.ReLU(), *conv_bn(6, 4), nn.ReLU(inplace=True), *conv_bn(4, 6))
        self.second = nn.Sequential(nn.SiLU(), *conv_bn(6, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.first(x)
        x = torch.add(x, self.second(x))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Joined(nn.Module):
    """A concatenation of branches, one of them used twice, in front of a batch norm, a sum and a flattened head."""

    def __init__(self) -> None:
        super().__init__()
        self.left = conv_bn(2, 3)
        self.right = conv_bn(2, 4)
        self.norm = nn.BatchNorm2d(10)
        self.shortcut = nn.Conv2d(2, 10, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, 3))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        joined = functional.relu(self.norm(torch.cat([left, right, left], dim=1)))
        out: Tensor = self.head(joined + self.shortcut(x))
        return out


class Depthwise(nn.Module):
    """An inverted bottleneck with squeeze-and-excitation and a depthwise layer that doubles its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = conv_bn(2, 6, 1)
        self.depthwise = conv_bn(6, 6, groups=6)
        self.squeeze = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.twofold = nn.Conv2d(6, 12, 3, groups=6)
        self.project = conv_bn(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.expand(x))
        x = functional.hardswish(self.depthwise(x))
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = x * torch.sigmoid(self.excite(gate))
        out: Tensor = self.project(self.twofold(x)).flatten(2).mean(-1)
        return out


class Spatial(nn.Module):
    """A gate of one channel, images joined by their height, and an instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.gate = nn.Conv2d(4, 1, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.conv(x)))
        x = torch.cat([x * self.gate(x).sigmoid(), functional.pad(x, (0, 0, 1, 2))], dim=2)
        out: Tensor = self.head(x.mean(-1).amax(2))
        return out


def trained(make: Callable[[], nn.Module]) -> tuple[nn.Module, Tensor]:
    """A network with batch statistics and scales that are no accident, and a batch for it."""
    torch.manual_seed(0)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for parameter in module.parameters():
                nn.init.uniform_(parameter, 0.5, 1.5)
    example = torch.randn(8, 2, 10, 10) + 0.3
    for _ in range(5):
        model.train()(example)
    return model, example


def result(model: nn.Module, x: Tensor) -> Tensor:
    with evaluating(model):
        out: Tensor = model(x)
    return out


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


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


class TwoJoined(nn.Module):
    """A sum of a concatenation and of one layer, which cannot choose its units freely."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 3, 1)
        self.whole = nn.Conv2d(2, 5, 1)
        self.head = nn.Conv2d(5, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.cat((self.left(x), self.right(x)), 1) + self.whole(x))
        return out


REFUSED = [
    (Plain, "conv7", 8, "must be called once in a forward pass, got 0; known: conv1, bn1"),
    (Plain, "bn1", 8, "only a convolution without groups or a linear layer"),
    (Plain, "conv1", 6, "needs n_out > 6, which it has, got 6"),
    (Plain, "head", 8, "network's output"),
    (Depthwise, "twofold", 24, "a depthwise one is widened with the layer before it"),
    (Spatial, "gate", 8, "operation 'mul' .* broadcasts them"),
    (Norms, "conv", 8, r"layer 'norm' \(GroupNorm\)"),
    (Norms, "twice", 8, "called once in a forward pass, got 2"),
    (Norms, "last", 8, "network's output"),
    (Fixed, "conv", 8, "which may hold sizes in its code"),
    (Input, "conv", 8, "network's input|nothing is known of operation 'amax'"),
    (Branching, "conv", 8, "cannot be traced, as its control flow must not depend on its input"),
    (TwoJoined, "whole", 8, "joins them with others"),
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


# --- deepening -------------------------------------------------------------------------------------------------------

DEEPENED = [
    (Plain, "relu1", True, {"relu1.1.weight": (6, 6, 3, 3), "relu1.2.running_mean": (6,)}),
    (Plain, "relu1", False, {"relu1.1.weight": (6, 6, 3, 3), "relu1.1.bias": (6,)}),
    (Plain, "conv2", True, {"conv2.0.weight": (5, 6, 3, 3), "conv2.2.weight": (5, 5, 3, 3)}),
    (Residual, "first.0", True, {"first.0.1.weight": (6, 6, 3, 3)}),
    (Residual, "first.3", True, {"first.3.2.weight": (4,)}),
    (Depthwise, "expand.1", True, {"expand.1.2.weight": (6, 6, 3, 3)}),
    (Depthwise, "squeeze", False, {"squeeze.2.weight": (2, 2, 3, 3)}),
]


@pytest.mark.parametrize(("make", "after", "batch_norm", "expected"), DEEPENED)
def test_deepening_keeps_the_function(
    make: type[nn.Module], after: str, batch_norm: bool, expected: dict[str, tuple[int, ...]]
) -> None:
    model, example = trained(make)
    deeper = deepen(model, after, input_example=example, batch_norm=batch_norm)
    assert shapes(deeper).items() >= expected.items()
    other = torch.randn(3, 2, 10, 10)
    torch.testing.assert_close(result(deeper, other), result(model, other), atol=1e-5, rtol=1e-5)
    if after not in ("conv2", "expand.1", "squeeze"):  # names stay behind an activation
        assert shapes(model).items() <= shapes(deeper).items()
    deeper.train()(example).sum().backward()
    assert all(parameter.grad is not None for parameter in deeper.parameters())


def test_deepening_behind_features_inserts_a_linear_layer() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU6(), nn.Linear(4, 1))
    example = 9 * torch.randn(16, 2)
    deeper = deepen(model, "1", input_example=example)
    assert isinstance(deeper.get_submodule("1.1"), nn.Linear) and isinstance(deeper.get_submodule("1.3"), nn.ReLU6)
    torch.testing.assert_close(result(deeper, example), result(model, example), atol=1e-5, rtol=1e-5)


def test_the_new_batch_norm_passes_the_example_in_training_too() -> None:
    model, example = trained(Plain)
    model.eval()
    deeper = deepen(model, "relu1", input_example=example)
    norm = deeper.get_submodule("relu1.2")
    assert float((norm.get_buffer("running_var") - 1).abs().max()) > 0.1
    norm.train()
    torch.testing.assert_close(deeper(example), model(example), atol=2e-3, rtol=2e-3)


def test_noise_on_the_identity() -> None:
    model, example = trained(Plain)
    rng = np.random.default_rng(0)
    deeper = deepen(model, "relu1", input_example=example, noise=0.1, rng=rng)
    off = deeper.get_parameter("relu1.1.weight").detach() - nn.init.dirac_(torch.empty(6, 6, 3, 3))
    # A fresh layer of 6 * 9 inputs is uniform within 1 / sqrt(54): its standard deviation is 1 / sqrt(162).
    assert float(off.std()) == pytest.approx(0.1 / 162**0.5, rel=0.2)


@pytest.mark.parametrize(
    ("make", "after", "reason"),
    [
        (Plain, "bn3", "another activation would change what passes it twice"),
        (Residual, "second.0", "another activation"),
        (Plain, "conv1", "used by bn1"),
        (Residual, "stem", "got 0"),
    ],
)
def test_deepening_needs_an_idempotent_activation(make: type[nn.Module], after: str, reason: str) -> None:
    model, example = trained(make)
    with pytest.raises(RaynasError, match=reason):
        deepen(model, after, input_example=example)


def test_arguments_are_checked() -> None:
    model, example = trained(Plain)
    with pytest.raises(ValueError, match="odd"):
        deepen(model, "relu1", input_example=example, kernel_size=2)
    with pytest.raises(ValueError, match="needs an rng"):
        deepen(model, "relu1", input_example=example, noise=0.1)
    with pytest.raises(RaynasError, match="at least 2 examples"):
        deepen(model, "relu1", input_example=example[:1])
    with pytest.raises(ValueError, match="noise must be at least 0"):
        widen(model, "conv1", 9, input_example=example, rng=np.random.default_rng(0), noise=-1)
