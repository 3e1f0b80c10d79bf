"""Zero-cost scores in a search with a predictor: where it starts, what it expects, or what its predictor sees.

Abdelfattah et al. (ICLR 2021, arXiv:2101.08134) start searches at the best of many random architectures by a zero-cost
proxy; White et al., "How Powerful are Performance Predictors in Neural Architecture Search?" (NeurIPS 2021,
arXiv:2104.01177, "OMNI"), let a predictor see such scores beside the architecture. Deviation: only as many candidates
are scored as a search can afford, the most promising to a predictor that does without.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.archive import Record
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.strategies.predictors.predictor_search import Belief, Pool, Predictor, PredictorSearcher, _Record
from raynas.strategies.predictors.proxy_ranks import ProxyRanks, Scores

Array = NDArray[np.float64]

Use = Literal["features", "prior", "start"]
USES: tuple[Use, ...] = ("features", "prior", "start")

_RIDGE = 5.0
"""How many observations the weights of a prior mean are held back by."""
_PER_FIT = 0.25
"""How many candidates are scored after a fit, as a share of those scored at the start."""
_N_RANKINGS = 4
"""Out of so many rankings candidates are scored, each with other draws and, of several objectives, other weights."""


class ScoredPool(Pool):
    """A part of a pool, and zero-cost ranks of all that is in it.

    Args:
        pool: what it is a part of.
        indices: which of it.
        ranks: standardised, ``(n_indices, n_proxies)``.
        as_features: whether the ranks are one more group of features.
    """

    def __init__(self, pool: Pool, indices: Sequence[int], ranks: Array, as_features: bool) -> None:
        super().__init__(pool.space, pool.key, pool.scales)
        self.archs, self.keys = [pool.archs[i] for i in indices], [pool.keys[i] for i in indices]
        self._index = {key: i for i, key in enumerate(self.keys)}
        self.groups = [group[np.asarray(indices)] for group in pool.groups]
        self.ranks = ranks
        if as_features:  # two random members are a distance of 1 apart, as in every other group
            scale = (2 * ranks.shape[1]) ** 0.5
            self.scales = {**(pool.scales or {}), "zero_cost": scale}
            self.groups.append(ranks / scale)


class PriorMean(Predictor):
    """Expects what zero-cost ranks say, by ridge regression, and lets another predictor learn the rest.

    Args:
        rest: what learns it.
    """

    def __init__(self, rest: Predictor) -> None:
        self.rest = rest
        self._observed: list[int] = []

    def fit(self, pool: Pool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        self._observed = list(observed)
        mean, scale = self._prior(pool, targets)
        self.rest.fit(pool, observed, (targets - mean[self._observed]) / scale, rng)

    def add(self, pool: Pool, index: int) -> None:
        self._observed.append(index)
        self.rest.add(pool, index)

    def believe(self, pool: Pool, targets: Array, pending: Sequence[int], rng: np.random.Generator) -> Belief:
        mean, scale = self._prior(pool, targets)
        belief = self.rest.believe(pool, (targets - mean[self._observed]) / scale, pending, rng)
        return Belief(belief.mean * scale + mean, belief.spread * scale)

    def _prior(self, pool: Pool, targets: Array) -> tuple[Array, float]:
        """What the ranks say of each in the pool, and the standard deviation of what they do not."""
        assert isinstance(pool, ScoredPool)
        centre = pool.ranks[self._observed].mean(axis=0)
        x = pool.ranks - centre
        seen = x[self._observed]
        weights = np.linalg.solve(seen.T @ seen + _RIDGE * np.eye(x.shape[1]), seen.T @ targets)
        mean = x @ weights
        return mean, float((targets - mean[self._observed]).std()) or 1.0


class ZeroCostSearcher(PredictorSearcher):
    """A ``PredictorSearcher`` that knows zero-cost scores too.

    At the start ``n_zero_cost`` random architectures are scored, and the best of them tried first. After each fit at
    most a quarter as many candidates are scored, the most promising to a predictor without scores, and as many again
    when these were all tried; what is proposed is one of them. All that was scored is in the archive ("scored"), and
    not computed again when a search is resumed.

    Args:
        space: what to search.
        goal: what to search for.
        make_predictor: gives a fresh predictor.
        zero_cost: names among ``costs``; larger is better.
        zero_cost_as: see ``PredictorStrategy``.
        n_zero_cost: how many are scored at the start.
        common: see ``PredictorSearcher``.

    Raises:
        UnknownNameError: if one of ``zero_cost`` is not among the costs.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        make_predictor: Callable[[], Predictor],
        zero_cost: Sequence[str],
        zero_cost_as: Use = "prior",
        n_zero_cost: int = 100,
        **common: Any,
    ) -> None:
        super().__init__(space, goal, make_predictor=make_predictor, **common)
        self.zero_cost_as, self.n_zero_cost = zero_cost_as, n_zero_cost
        self.proxies = ProxyRanks(self.costs, zero_cost, self._note_scores)
        informed = make_predictor()
        self._informed = _Record(PriorMean(informed) if zero_cost_as == "prior" else informed)
        self._uninformed = self._scored
        self._first: list[Architecture] = []
        self._all: Pool | None = None
        self._part: list[int] | None = None

    def replay(self, records: Iterable[Record]) -> None:
        records = list(records)
        for record in records:
            if record["event"] == "scored" and record["scores"].keys() == self.proxies.costs.keys():
                self.proxies.known[Architecture.from_config(record["config"])] = record["scores"]
        super().replay(records)

    def _note_scores(self, arch: Architecture, scores: Scores) -> None:
        self._record("scored", config={"arch": arch.to_config()}, scores=scores)

    # --- the start ---------------------------------------------------------------------------------------------------

    def _initial(self) -> Architecture | None:
        """The best of the reference that was not tried; a random one if all were."""
        self._refer()
        excluded = self._excluded()
        return next((point for point in self._first if self._key(point) not in excluded), None) or self._sample()

    def _refer(self) -> None:
        """Draw and score the reference, once."""
        if self.proxies.reference:
            return
        if self._enumerates:
            pool = self._new_pool([])
            n = min(self.n_zero_cost, len(pool))
            points = [pool.archs[i] for i in self.rng.choice(len(pool), n, replace=False)]
        else:
            points = [self.space.sample(self.rng) for _ in range(self.n_zero_cost)]
        by_arch = {self.space.architecture(point): point for point in points}
        self.proxies.refer_to(by_arch)
        self._first = [by_arch[arch] for arch in self.proxies.best()]

    # --- after each fit ----------------------------------------------------------------------------------------------

    def _renew(self, scored: Sequence[Evaluation]) -> None:
        self._refer()
        self._forget()
        super()._renew(scored)
        if self.zero_cost_as != "start":
            self._inform()

    def _forget(self) -> None:
        """Rank all that there is again, without scores."""
        if self._all is not None:
            self._pool, self._scored, self._part, self._all = self._all, self._uninformed, None, None

    def _inform(self) -> None:
        """Score the most promising, and let a predictor that knows these scores rank them."""
        assert self._pool is not None
        known = map(self._pool.index, (*(e.arch for e in self._scored.evaluations), *self.running))
        chosen = dict.fromkeys(i for i in known if i is not None)
        excluded, n_before = self._excluded(), len(chosen)
        n_new = max(int(self.n_zero_cost * _PER_FIT), 1)
        for n in range(1, _N_RANKINGS + 1):
            order = np.argsort(-self._ranks(), kind="stable")
            new = (int(i) for i in order if i not in chosen and self._pool.keys[i] not in excluded)
            chosen |= dict.fromkeys(islice(new, n_before + n * n_new // _N_RANKINGS - len(chosen)))
        self._all, self._part = self._pool, list(chosen)
        ranks = self.proxies([self.space.architecture(self._all.archs[i]) for i in self._part])
        self._pool = ScoredPool(self._all, self._part, ranks, self.zero_cost_as == "features")
        evaluations = self._scored.evaluations
        self._scored = self._informed
        self._scored.fit(self._pool, evaluations, self._targets(evaluations), self.rng)

    def _chances(self, pool: Pool) -> Array | None:
        """Constraints are predicted without scores."""
        if self._part is None or self._all is None:
            return super()._chances(pool)
        chances = super()._chances(self._all)
        return chances if chances is None else chances[self._part]

    def _most_promising(self) -> Architecture | None:
        if self._all is not None and self._pool is not None and self._excluded().issuperset(self._pool.keys):
            self._forget()
            self._inform()
        return super()._most_promising()

    @property
    def _pool_of_limits(self) -> Pool:
        return super()._pool_of_limits if self._all is None else self._all
