"""The predictor of PNAS: networks that each leave out another fifth of the evaluations.

Liu et al., "Progressive Neural Architecture Search" (ECCV 2018, arXiv:1712.00559): an ensemble of five, each fitted to
four fifths of the data by the L1 loss and Adam; the prediction is their mean. Deviations: a network's input is what the
space says of an architecture, which knows paths through cells of any size, instead of a mean of embeddings; and the
rate falls to zero in each fit.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.strategies.predictors.bananas import Networks
from raynas.threads import limited_threads

Array = NDArray[np.float64]

N_FOLDS = 5
"""Number of networks, and of parts of the data, of which each network leaves out one."""

N_STEPS = 300
"""Number of steps of each fit."""

_WIDTH = 100
_BATCH_SIZE = 32
_LEARNING_RATE = 0.002


class FoldEnsemble:
    """Predicts by the mean of the networks.

    Args:
        x: inputs of what is known, ``(n, n_inputs)``.
        y: what is to be predicted of it, ``(n,)``.
        rng: of the folds, the initial weights and the batches.
    """

    def __init__(self, x: Array, y: Array, rng: np.random.Generator) -> None:
        self._scale = float(y.std()) or 1.0
        self._centre = float(y.mean())
        self.folds = folds(len(x), rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        targets = torch.from_numpy((y - self._centre) / self._scale).float()
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():  # the caller may have disabled them
            self.networks = Networks(N_FOLDS, [x.shape[1], _WIDTH, _WIDTH, 1], generator)
            self._train(torch.from_numpy(x).float(), targets, generator)

    def _train(self, x: Tensor, targets: Tensor, generator: torch.Generator) -> None:
        parameters = [parameter.requires_grad_(True) for parameter in self.networks.parameters]
        adam = torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)
        kept = [torch.from_numpy(fold) for fold in self.folds]
        for step in range(N_STEPS):
            adam.param_groups[0]["lr"] = _LEARNING_RATE * (1 - step / N_STEPS)
            chosen = torch.stack([k[torch.randint(len(k), (_BATCH_SIZE,), generator=generator)] for k in kept])
            loss = (self.networks(x[chosen]) - targets[chosen]).abs().mean(dim=1).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        for parameter in parameters:
            parameter.requires_grad_(False)

    def predict(self, x: Array) -> Array:
        """Return the prediction for inputs ``(n, n_inputs)``, ``(n,)``."""
        with limited_threads(1), torch.inference_mode():
            of_each = self.networks(torch.from_numpy(x).float().expand(N_FOLDS, -1, -1))
        return of_each.double().mean(dim=0).numpy() * self._scale + self._centre


def folds(n: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return for each network the indices that it is fitted to: all but its fifth; all if there are fewer than five."""
    order = rng.permutation(n)
    if n < N_FOLDS:
        return [order] * N_FOLDS
    return [order[np.arange(n) % N_FOLDS != i] for i in range(N_FOLDS)]
