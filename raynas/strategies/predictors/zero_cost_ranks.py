"""Zero-cost scores as ranks among random architectures.

Ranks are what proxies are good at (Abdelfattah et al., ICLR 2021, arXiv:2101.08134): their values differ by orders of
magnitude.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.errors import UnknownNameError, one_line
from raynas.metrics import rank_ensemble
from raynas.metrics.zero_cost import RankEnsemble

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Scores = dict[str, float | None]
"""By proxy; None where there is no finite score."""


class ZeroCostRanks:
    """Scores each architecture once and ranks it among reference architectures.

    Args:
        costs: functions of an architecture by name; larger is better.
        names: of the costs to use.
        on_score: receives each new score.

    Raises:
        UnknownNameError: if one of the names is not among the costs.
    """

    def __init__(
        self,
        costs: Mapping[str, Callable[[Architecture], float]],
        names: Sequence[str],
        on_score: Callable[[Architecture, Scores], None] = lambda arch, scores: None,
    ) -> None:
        for name in names:
            if name not in costs:
                raise UnknownNameError("metric that needs no training:", name, costs)
        self.costs = {name: costs[name] for name in names}
        self.known: dict[Architecture, Scores] = {}
        self.reference: list[Architecture] = []
        self._on_score = on_score
        self._ensembles: dict[str, RankEnsemble] = {}

    def __len__(self) -> int:
        return len(self.costs)

    def refer_to(self, archs: Iterable[Architecture]) -> None:
        """Score the reference architectures, which all others are ranked among.

        A proxy without a finite score for any of them is left out, with a warning.
        """
        self.reference = list(dict.fromkeys(archs))
        scores = [self.scores(arch) for arch in self.reference]
        for name in self.costs:
            column = [each[name] for each in scores]
            if any(score is not None for score in column):
                self._ensembles[name] = RankEnsemble({name: column})
            else:
                logger.warning("%s gave no finite score for any of %d architectures: ignored", name, len(column))

    def best(self) -> list[Architecture]:
        """Return the reference architectures, the best mean rank over proxies first."""
        scores = [self.scores(arch) for arch in self.reference]
        ranks = rank_ensemble({name: [each[name] for each in scores] for name in self.costs})
        return [self.reference[i] for i in np.argsort(-ranks, kind="stable")]

    def scores(self, arch: Architecture) -> Scores:
        """Return the scores of an architecture; compute each once."""
        if arch not in self.known:
            self.known[arch] = {name: _finite_score(cost, name, arch) for name, cost in self.costs.items()}
            self._on_score(arch, self.known[arch])
        return self.known[arch]

    def __call__(self, archs: Sequence[Architecture]) -> Array:
        """Return standardised ranks, ``(n, n_proxies)``, larger is better; the reference has mean 0 and variance 1.

        The rank of an architecture without a finite score is the worst.
        """
        quantiles = [[self._quantile(name, score) for name, score in self.scores(arch).items()] for arch in archs]
        return (np.array(quantiles).reshape(len(archs), len(self)) - 0.5) * 12**0.5

    def _quantile(self, name: str, score: float | None) -> float:
        if name not in self._ensembles:
            return 0.5
        return 0.0 if score is None else self._ensembles[name]({name: score})


def _finite_score(cost: Callable[[Architecture], float], name: str, arch: Architecture) -> float | None:
    try:
        score = float(cost(arch))
    except Exception as error:  # Tune ends the whole run when a searcher raises.
        logger.debug("%s of %s: %s", name, arch, one_line(error))
        return None
    return score if np.isfinite(score) else None
