"""Zero-cost proxies as metrics of an architecture."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.metric import Candidate
from raynas.core.space import SearchSpace
from raynas.metrics.zero_cost import Batch, Scores, zero_cost_scores
from raynas.seeds import seed_of

N_RANDOM = 16
"""Batch size of the random input for proxies that need no data."""


def fresh_network(space: SearchSpace, arch: Architecture, seed: int) -> nn.Module:
    """Build the network of ``arch`` with the weights that a trial of this seed begins with.

    No other randomness changes.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(seed_of(seed, arch.key, "weights"))
        return space.build(arch)


@dataclass(frozen=True)
class ProxyMeasure:
    """The measurement of a zero-cost proxy, which a ``Measurer`` computes together with other proxies.

    Args:
        name: a key of ``ZERO_COST``.
    """

    name: str

    def __call__(self, candidate: Candidate) -> float:
        """Return the score.

        Raises:
            RaynasError: if there is none.
        """
        return proxy_scores(candidate, [self.name]).value_of(self.name)


def proxy_scores(candidate: Candidate, names: Iterable[str]) -> Scores:
    """Score a candidate by several proxies; without a batch of data, on zeros of its shape."""
    batch = Batch(*candidate.batch) if candidate.draw else _no_data(candidate)
    return zero_cost_scores(candidate.model, batch, names, seed=candidate.seed)


def _no_data(candidate: Candidate) -> Batch:
    return Batch(candidate.example(N_RANDOM), torch.zeros(N_RANDOM, dtype=torch.long))
