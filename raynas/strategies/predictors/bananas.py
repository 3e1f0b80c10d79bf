"""BANANAS: an ensemble of neural networks predicts, independent Thompson sampling chooses.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search"
(AAAI 2021, arXiv:1910.11858). Deviations: the networks have fewer and wider layers; their training continues when
observations are added, instead of starting from scratch; their default input is all features of the space; targets are
standardised log regrets, so the lower bound of the loss is a distance beyond the best instead of a given error; and a
small space is ranked as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.errors import SettingError
from raynas.strategies.base import require_at_least, require_one_of
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.ensemble import ENCODINGS, Encoding, EnsemblePredictor
from raynas.threads import limited_threads

Array = NDArray[np.float64]

_MARGIN = 1.5
"""Distance of the lower bound of the loss beyond the best, in standard deviations of the targets."""
_BATCH_SIZE = 32
_COOLING = 0.5
"""Last share of a training in which the learning rate falls to 0."""


@dataclass(frozen=True, kw_only=True)
class BANANAS(PredictorStrategy):
    """Predict every candidate by an ensemble of feed-forward networks, try the most promising.

    The paper has "path", "thompson", networks of 10 layers of 20 trained for 150 epochs at a rate of 0.01, and
    candidates that are mutations of the best (``max_enumerated=0``).

    Args:
        encoding: input of the networks: "all" features that the space gives, the "path" encoding of the paper, or the
            "decisions" one-hot.
        n_networks: number of networks; at least 2.
        depth: hidden layers of each; at least 1.
        width: neurons of each hidden layer; at least 1.
        n_steps: gradient steps of the first training; at least 1.
        n_more_steps: gradient steps of each later training, which continues; 0 to train from scratch each time.
        learning_rate: of Adam; positive.
    """

    encoding: Encoding = "all"
    n_networks: int = 5
    depth: int = 3
    width: int = 64
    n_steps: int = 300
    n_more_steps: int = 100
    learning_rate: float = 0.003

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"n_networks": 2, "depth": 1, "width": 1, "n_steps": 1, "n_more_steps": 0})
        if not 0 < self.learning_rate < float("inf"):
            raise SettingError(f"learning_rate must be positive, got {self.learning_rate}")
        require_one_of(self, "encoding", ENCODINGS)

    def make_predictor(self) -> "NetworksPredictor":
        return NetworksPredictor(self)


class Networks:
    """Feed-forward networks of one shape, computed together by one batched product per layer.

    Args:
        n_networks: number of networks.
        sizes: neurons of each layer, the inputs first.
        generator: of the initial weights (He et al., 2015).
    """

    def __init__(self, n_networks: int, sizes: Sequence[int], generator: torch.Generator) -> None:
        self.weights = [
            torch.randn(n_networks, n_in, n_out, generator=generator) * (2 / n_in) ** 0.5
            for n_in, n_out in pairwise(sizes)
        ]
        self.biases = [torch.zeros(n_networks, 1, n_out) for n_out in sizes[1:]]

    @property
    def parameters(self) -> list[Tensor]:
        """Weights and biases of all layers."""
        return [*self.weights, *self.biases]

    def __call__(self, x: Tensor) -> Tensor:
        """Map ``(n_networks, n, n_inputs)`` to ``(n_networks, n)``."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x if i == 0 else x.relu(), weight)
        return x[..., 0]


def relative_error(predicted: Tensor, gaps: Tensor) -> Tensor:
    """Compute the paper's loss (section 4), the mean of abs(predicted / gap − 1): good architectures have more weight.

    Args:
        predicted: ``(n_networks, n)``.
        gaps: true distances to the lower bound, positive, of the same shape.

    Returns:
        One loss per network, ``(n_networks,)``.
    """
    return (predicted / gaps - 1).abs().mean(dim=-1)


class NetworksPredictor(EnsemblePredictor):
    """The ensemble of BANANAS; its members differ in their initial weights and in their batches."""

    def __init__(self, settings: BANANAS) -> None:
        super().__init__(settings.encoding)
        self.settings = settings
        self.networks: Networks | None = None
        self._bound = 0.0

    def train(self, x: Array, targets: Array, rng: np.random.Generator) -> None:
        self._bound = float(targets.max()) + _MARGIN
        # The caller may have disabled gradients.
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            gaps = torch.from_numpy(self._bound - targets).float()
            self._train(torch.from_numpy(x).float(), gaps, generator)

    def _train(self, x: Tensor, gaps: Tensor, generator: torch.Generator) -> None:
        settings, n_inputs = self.settings, x.shape[1]
        n_steps = settings.n_more_steps
        if self.networks is None or not n_steps or n_inputs != self.networks.weights[0].shape[1]:
            sizes = [n_inputs, *[settings.width] * settings.depth, 1]
            self.networks, n_steps = Networks(settings.n_networks, sizes, generator), settings.n_steps
            self.networks.biases[-1] += gaps.mean()
        optimise(self.networks, x, gaps, n_steps, settings.learning_rate, generator)

    def predict(self, x: Array) -> Array:
        assert self.networks is not None
        examples = torch.from_numpy(x).float()
        with limited_threads(1), torch.inference_mode():
            gaps = self.networks(examples.expand(self.settings.n_networks, -1, -1))
        return self._bound - gaps.double().numpy()


def optimise(
    networks: Networks, x: Tensor, gaps: Tensor, n_steps: int, learning_rate: float, generator: torch.Generator
) -> None:
    """Train by Adam with a learning rate that falls to 0 in the end; every network draws its own batches.

    Args:
        networks: trained in place.
        x: ``(n, n_inputs)``.
        gaps: ``(n,)``, positive.
        n_steps: number of gradient steps.
        learning_rate: at the beginning.
        generator: of the batches.
    """
    parameters = networks.parameters
    for parameter in parameters:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    shape = (len(networks.weights[0]), min(_BATCH_SIZE, len(x)))
    for step in range(n_steps):
        adam.param_groups[0]["lr"] = learning_rate * min(1.0, (1 - step / n_steps) / _COOLING)
        chosen = torch.randint(len(x), shape, generator=generator)
        loss = relative_error(networks(x[chosen]), gaps[chosen]).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
