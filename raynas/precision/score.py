"""QuantizedScore: scores the networks of a PrecisionSpace as the runtime computes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from raynas.precision.quantizer import Quantized, Quantizer
from raynas.precision.space import PrecisionSpace

Score = Callable[[Quantized], float | Mapping[str, float]]
"""A function that returns the accuracy of a network, or several metrics of it by name."""


@dataclass(frozen=True, kw_only=True)
class QuantizedScore:
    """A trainable for ``raynas.search``: quantizes each network as its point decides, and scores what is deployed.

    Args:
        space: the space that is searched.
        quantizer: makes the networks.
        score: scores a network, which it calls like a module; its forward pass runs on the runtime.
        train: trains a network in float32, in place, before; it gets the trial's config too. None where networks
            inherit weights.
    """

    space: PrecisionSpace
    quantizer: Quantizer
    score: Score
    train: Callable[[nn.Module, Mapping[str, Any]], object] | None = None

    def __call__(self, model: nn.Module, config: Mapping[str, Any]) -> float | Mapping[str, float]:
        """Return the score of a trial."""
        if self.train is not None:
            self.train(model, config)
        return self.score(self.quantizer.of(self.space, config, model))
