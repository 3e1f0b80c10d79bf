"""Models with choices that several tests read decisions off."""

from collections.abc import Callable

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.nn import Choice, InputChoice, ModelSpace, Repeat


class Branch(nn.Module):
    """A candidate with a choice inside."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Choice({"wide": lambda: nn.Conv2d(4, 4, 3, padding=1), "narrow": lambda: nn.Conv2d(4, 4, 1)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.op(x)
        return out


class Plain(nn.Module):
    """Nothing to decide."""


class Net(nn.Module):
    """Every kind of choice, nested, shared and followed by lazy layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block = Choice({"branch": Branch, "skip": nn.Identity, "pool": lambda: nn.AvgPool2d(3, 1, 1)})
        self.layers = Repeat(lambda i: nn.Sequential(self.conv(), Choice(self.ACTIVATIONS)), low=1, high=3)
        self.merge = InputChoice(3, n_chosen=2, reduction="concat")
        self.width = Choice({f"w{w}": lambda w=w: nn.LazyConv2d(w, 1) for w in (4, 8)})  # type: ignore[misc]
        self.act = Choice(self.ACTIVATIONS, label="act")
        self.act2 = Choice(self.ACTIVATIONS, label="act")
        self.head = nn.Sequential(nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5))

    ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}  # noqa: RUF012

    @staticmethod
    def conv() -> nn.Module:
        return nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        block = self.block(stem)
        merged = self.merge(stem, block, self.layers(block))
        out: torch.Tensor = self.head(self.act2(self.act(self.width(merged))))
        return out


ARCH: dict[str, Option] = {
    "block": "branch",
    "block.branch.op": "narrow",
    "layers": 2,
    "layers.0.1": "relu",
    "layers.1.1": "tanh",
    "merge": "0+2",
    "width": "w8",
    "act": "tanh",
}


def conditions(*makes: tuple[str, Callable[[], nn.Module]]) -> dict[str, dict[str, list[object]]]:
    """Name and condition of every decision in a model of these submodules."""
    space = ModelSpace(lambda: nn.ModuleDict({name: make() for name, make in makes}), input_shape=(1,))
    return {d.name: {parent: list(options) for parent, options in d.active_if.items()} for d in space.decisions}


def leaf(label: str | None = None) -> Choice:
    return Choice({"a": nn.Identity, "b": nn.ReLU}, label=label)
