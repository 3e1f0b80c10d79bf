"""Small spaces for the tests of trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision, Integer
from raynas.core.space import SearchSpace


@dataclass(frozen=True)
class TinyCnn(SearchSpace):
    """Networks that use all that resuming has to get right: batch norm, dropout, convolutions."""

    input_shape: tuple[int, ...] = (1, 8, 8)
    n_classes: int = 10
    channels: int = 8

    @property
    def decisions(self) -> Sequence[Decision]:
        return (Integer("depth", low=1, high=2), Categorical("kernel", choices=(3, 5)))

    def build(self, arch: Architecture) -> nn.Module:
        layers: list[nn.Module] = []
        width = self.input_shape[0]
        for i in range(int(arch["depth"])):
            out = self.channels * 2**i
            conv = nn.Conv2d(width, out, int(arch["kernel"]), padding="same", bias=False)
            layers += [conv, nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            width = out
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(width, self.n_classes)]
        return nn.Sequential(*layers, *head)


class Troubled(SearchSpace):
    """Its option "trouble" says what goes wrong, and when."""

    input_shape = (1, 8, 8)

    @property
    def decisions(self) -> Sequence[Decision]:
        return (Categorical("trouble", choices=("none", "build", "forward", "memory", "shape", "exit")),)

    def build(self, arch: Architecture) -> nn.Module:
        trouble = str(arch["trouble"])
        if trouble == "build":
            raise KeyError("no such layer")
        if trouble == "exit":
            raise SystemExit(3)
        return TroubledNetwork(trouble)


class TroubledNetwork(nn.Module):
    def __init__(self, trouble: str) -> None:
        super().__init__()
        self.trouble = trouble
        self.linear = nn.Linear(64, 7 if trouble == "shape" else 10)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.trouble == "forward":
            raise RuntimeError("boom\nin two lines")
        if self.training and self.trouble == "memory":
            torch.empty(10**15)  # a petabyte or four
        logits: Tensor = self.linear(x.flatten(1))
        return logits


class Fixed(SearchSpace):
    """A space that cannot be made for other data."""

    def __init__(self, n_classes: int = 10, size: int = 8) -> None:
        self.input_shape = (1, size, size)
        self.n_classes = n_classes

    @property
    def decisions(self) -> Sequence[Decision]:
        return (Categorical("bias", choices=(True, False)),)

    def build(self, arch: Architecture) -> nn.Module:
        n_inputs = self.input_shape[1] * self.input_shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, self.n_classes, bias=bool(arch["bias"])))


class NeedsValues(Fixed):
    """Reads a number out of a tensor, which the meta device does not have."""

    def build(self, arch: Architecture) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = nn.Linear(64, 10)

            def forward(self, x: Tensor) -> Tensor:
                scale = float(x.abs().max()) + 1
                logits: Tensor = self.linear(x.flatten(1) / scale)
                return logits

        return Net()
