"""A deeper network computes the same function; positions that do not allow it are refused with the reason."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raynas.errors import RaynasError
from raynas.nn.morphism.deepening import deepen
from raynas.nn.morphism.widening import widen
from tests.nn.morphism.networks import Depthwise, Plain, Residual, result, shapes, trained

torch.set_num_threads(1)


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


class Mixer(nn.Module):
    """Linear layers over channels and over positions, with a ReLU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.positions = nn.Linear(4, 4), nn.Linear(3, 3)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.positions(self.act(self.channels(x)).transpose(1, 2))
        return out


def test_deepening_needs_to_know_the_channels() -> None:
    with pytest.raises(RaynasError, match="which dimension has channels is unclear"):
        deepen(Mixer(), "act", input_example=torch.randn(8, 3, 4))


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
