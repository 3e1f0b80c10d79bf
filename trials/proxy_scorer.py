"""Zero-cost proxies of networks, all on the same images."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.zero_cost import Batch, RankEnsemble, zero_cost_scores
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.threads import limited_threads
from raynas.trials.data_batch import HeldBatch

if TYPE_CHECKING:
    from raynas.trials.zero_cost import ZeroCost

ENSEMBLE_KEY = "ensemble"
"""Result key of the rank ensemble."""


class ProxyScorer:
    """Computes the zero-cost proxies of networks, all on the same images.

    Args:
        settings: settings of the trials.
        space: gives the networks.
        names: the proxies that trials report.
        batch: the images and labels; only read.
        reference: ranks for the ensemble; None if "ensemble" is not computed.
    """

    def __init__(
        self,
        settings: "ZeroCost",
        space: SearchSpace,
        names: Sequence[str],
        batch: Batch,
        reference: RankEnsemble | None = None,
    ) -> None:
        self.settings, self.space, self.names, self.reference = settings, space, tuple(names), reference
        self.batch = HeldBatch(batch)

    def network(self, arch: Architecture) -> nn.Module:
        """Build the network of ``arch`` with the fresh weights that are scored."""
        return fresh_network(self.space, arch, self.settings.seed).to(self.settings.torch_device)

    def scores(self, model: nn.Module, names: Collection[str]) -> dict[str, float]:
        """Compute proxies of a network together.

        Raises:
            RaynasError: if a proxy gives no finite number.
        """
        members = self.settings.ensemble if ENSEMBLE_KEY in names else ()
        proxies = [*dict.fromkeys((*(name for name in names if name != ENSEMBLE_KEY), *members))]
        scores = zero_cost_scores(model, self.batch(), proxies, seed=self.settings.seed)
        if scores.failures:
            raise RaynasError("; ".join(scores.failures.values()))
        values = dict(scores.values)
        if self.reference is not None and ENSEMBLE_KEY in names:
            values[ENSEMBLE_KEY] = self.reference(values)
        return values


class LazyProxies:
    """Scores architectures one proxy at a time; data and reference are read on first use.

    Args:
        settings: settings of the trials.
        space: the space of the architectures.
    """

    def __init__(self, settings: "ZeroCost", space: SearchSpace) -> None:
        self._settings, self._space = settings, space
        self._made: dict[bool, ProxyScorer] = {}

    def score(self, name: str, arch: Architecture) -> float:
        """Return a proxy's score.

        Raises:
            RaynasError: if there is none.
        """
        needs_reference = name == ENSEMBLE_KEY
        if needs_reference not in self._made:
            self._made[needs_reference] = self._settings.scorer(self._space, (name,))
        scorer = self._made[needs_reference]
        with limited_threads(self._settings.n_threads):
            return scorer.scores(scorer.network(arch), (name,))[name]
