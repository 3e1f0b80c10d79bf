"""Columns: features of networks as standardised inputs of neural networks."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.model import Tensors, take

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Mean and standard deviation of each feature.

    Args:
        means: ``(n_features,)``.
        stds: positive, ``(n_features,)``; 1 for a constant feature.
    """

    means: Array
    stds: Array

    @classmethod
    def of(cls, rows: Array) -> "Columns":
        """Return those of some networks, ``(n, n_features)``."""
        stds = rows.std(axis=0)
        return cls(rows.mean(axis=0), np.where(stds > 0, stds, 1.0))

    def __len__(self) -> int:
        return len(self.means)

    def __call__(self, networks: Described) -> Tensor:
        """Return standardised features, ``(n, n_features)``."""
        return torch.from_numpy((networks.matrix - self.means) / self.stds).float()

    def tensor(self) -> Array:
        """Return both, ``(2, n_features)``."""
        return np.stack([self.means, self.stds])

    @classmethod
    def restored(cls, tensors: Tensors) -> "Columns":
        """Return the columns in the tensor "columns".

        Raises:
            ContentError: if it is none.
        """
        means, stds = take(tensors, "columns", (2, None))
        if not (stds > 0).all():
            raise ContentError("a standard deviation of the features is not positive")
        return cls(means, stds)
