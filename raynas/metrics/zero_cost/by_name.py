"""Zero-cost proxies as metrics of an architecture, beside params and macs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.cost import MetaModels
from raynas.metrics.zero_cost import ZERO_COST, Batch, Scores, zero_cost_scores
from raynas.seeds import seed_of

COUNTED = ("params", "macs")
"""The proxies that are costs as well, and counted without a network that holds values."""

N_RANDOM = 16
"""How many random inputs a proxy gets that needs no images, where none are given."""


def fresh_network(space: SearchSpace, arch: Architecture, seed: int) -> nn.Module:
    """The network of ``arch`` with the weights that a trial of this seed begins with; no other randomness changes."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(seed_of(seed, arch.key, "weights"))
        return space.build(arch)


@dataclass
class Proxies:
    """Scores of a space's architectures; remembers the last, so that several proxies share what can be shared.

    Args:
        space: where the architectures come from.
        names: the proxies that are computed together.
        batch: gives the images and labels; None if no proxy needs them.
        seed: of weights, dropout and random inputs.
    """

    space: SearchSpace
    names: tuple[str, ...]
    batch: Callable[[], Batch] | None = None
    seed: int = 0
    _last: tuple[Architecture, Scores] | None = field(default=None, repr=False)

    def score(self, name: str, arch: Architecture) -> float:
        """One proxy's score.

        Raises:
            RaynasError: if there is none.
        """
        if self._last is None or self._last[0] != arch:
            batch = self.batch() if self.batch else _no_data(self.space)
            network = fresh_network(self.space, arch, self.seed)
            self._last = arch, zero_cost_scores(network, batch, self.names, seed=self.seed)
        scores = self._last[1]
        if name in scores.failures:
            raise RaynasError(scores.failures[name])
        return scores.values[name]


def without_data(name: str) -> Callable[[MetaModels, Architecture], float]:
    """A proxy that needs no data as an untrained metric."""

    def metric(models: MetaModels, arch: Architecture) -> float:
        return Proxies(models.space, (name,)).score(name, arch)

    return metric


def check_data(names: Iterable[str]) -> None:
    """Refuse proxies that cannot do without images and labels.

    Raises:
        RaynasError: if there is one.
    """
    for name in names:
        if name in ZERO_COST and ZERO_COST[name].needs_data:
            raise RaynasError(f"{name} needs a batch of images and labels: give one, or score with ZeroCost(data=...)")


def _no_data(space: SearchSpace) -> Batch:
    return Batch(torch.zeros((N_RANDOM, *space.input_shape)), torch.zeros(N_RANDOM, dtype=torch.long))


WITHOUT_DATA: Mapping[str, Callable[[MetaModels, Architecture], float]] = {
    name: without_data(name) for name, proxy in ZERO_COST.items() if not proxy.needs_data and name not in COUNTED
}
"""The zero-cost proxies that need no data, as untrained metrics; of a trial's weights with seed 0."""
