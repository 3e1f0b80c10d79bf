"""A multilayer perceptron: how many layers, how wide, and what follows each of them.

After the networks for tables of Zimmer et al., "Auto-PyTorch Tabular" (TPAMI 2021, arXiv:2006.13799).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Decision, Integer
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}
"""Activations after a linear layer."""

NORMALISATIONS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
"""Normalisations between a linear layer and its activation, besides "none"."""


@dataclass(frozen=True, kw_only=True)
class MLP(SearchSpace):
    """Up to ``max_layers`` hidden layers and a linear output; an input of any shape is flattened.

    Decisions are ``n_layers``, ``activation``, ``dropout``, ``norm`` and, for each layer that exists, its width
    ``layers.0.width``.

    Args:
        input_shape: shape of one example.
        n_classes: number of outputs.
        max_layers: the most hidden layers; the fewest is 1.
        widths: the widths a layer can have.
        dropouts: the shares of values dropped after a layer in training.

    Raises:
        SpaceError: if a size is below 1 or a dropout is outside [0, 1).
    """

    input_shape: tuple[int, ...] = (1, 8, 8)
    n_classes: int = 10
    max_layers: int = 4
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    dropouts: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)

    def __post_init__(self) -> None:
        if min(*self.input_shape, self.n_classes, self.max_layers, *self.widths) < 1:
            raise SpaceError(f"every size of an MLP must be at least 1, got {self}")
        if any(not 0 <= dropout < 1 for dropout in self.dropouts):
            raise SpaceError(f"dropouts must be in [0, 1), got {self.dropouts}")

    @property
    def decisions(self) -> Sequence[Decision]:
        """The number of layers, what all have in common, then the width of each."""
        common = (
            Integer("n_layers", 1, self.max_layers),
            Categorical("activation", tuple(ACTIVATIONS)),
            Categorical("dropout", self.dropouts),
            Categorical("norm", ("none", *NORMALISATIONS)),
        )
        return [*common, *map(self._width, range(self.max_layers))]

    def _width(self, i: int) -> Decision:
        exists = {"n_layers": range(i + 1, self.max_layers + 1)} if i else {}
        return Categorical(f"layers.{i}.width", self.widths, active_if=exists)

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Make the network that ``arch`` means.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        options = self.canonical(arch)
        settings: dict[str, Any] = {name: options[name] for name in ("activation", "dropout", "norm")}
        sizes = [prod(self.input_shape)]
        sizes += [int(options[f"layers.{i}.width"]) for i in range(int(options["n_layers"]))]
        hidden = (layer for n_in, n_out in pairwise(sizes) for layer in _hidden_layer(n_in, n_out, **settings))
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], self.n_classes))


def _hidden_layer(n_in: int, n_out: int, activation: str, dropout: float, norm: str) -> Iterator[nn.Module]:
    yield nn.Linear(n_in, n_out)
    if norm in NORMALISATIONS:
        yield NORMALISATIONS[norm](n_out)
    yield ACTIVATIONS[activation]()
    if dropout:
        yield nn.Dropout(dropout)
