"""Search with a predictor: learn from what was evaluated, rank the candidates, try the most promising.

The framework that White et al. (AAAI 2021, "BANANAS", arXiv:1910.11858) call "BO plus predictor"; what predicts, and
how a prediction becomes a rank, are exchangeable.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Constraint, Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace

Array = NDArray[np.float64]

Groups = Sequence[Array]
"""Features of n architectures, each group ``(n, n_features)``."""

_RENEWAL = 1.02
"""A predictor is fitted anew when observations have grown by this factor, which keeps a long search (and its replay)
affordable: 50 fits for the first 50 trials, some 230 more until 5,000."""
_MAX_TRIES = 100
_CLIMBS = 2
"""How often the neighbours of the most promising candidates join a pool that is not the whole space."""


@dataclass(frozen=True)
class Belief:
    """What a predictor expects of each candidate, larger is better: mean and standard deviation, ``(n,)`` each."""

    mean: Array
    spread: Array


class Pool:
    """Architectures and their features, numbered; only the first with its key is in.

    Args:
        space: what they belong to.
        key: two of the same key are one.
        scales: what each group of features is divided by.
    """

    def __init__(
        self, space: SearchSpace, key: Callable[[Architecture], Hashable], scales: Mapping[str, float] | None = None
    ) -> None:
        self.space, self.key, self.scales = space, key, scales
        self.archs: list[Architecture] = []
        self.keys: list[Hashable] = []
        self.groups: list[Array] = []
        self._index: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.archs)

    def add(self, archs: Iterable[Architecture]) -> None:
        """Take in those whose key is new."""
        new: list[Architecture] = []
        for arch in archs:
            key = self.key(arch)
            if key not in self._index:
                self._index[key] = len(self.keys)
                self.keys.append(key)
                new.append(arch)
        if not new:
            return
        told = [self.space.features(arch) for arch in new]
        groups = {name: np.array([features[name] for features in told]) for name in told[0]}
        if self.scales is None:
            self.scales = {name: _typical_distance(group) for name, group in groups.items()}
        scaled = [group / self.scales[name] for name, group in groups.items()]
        self.groups = [np.vstack(pair) for pair in zip(self.groups, scaled, strict=True)] if self.groups else scaled
        self.archs += new

    def index(self, arch: Architecture) -> int | None:
        """The number of an architecture, or of the one that stands for it; None if it is not in."""
        return self._index.get(self.key(arch))

    def take(self, indices: NDArray[Any]) -> Groups:
        """The features of some."""
        return [group[indices] for group in self.groups]


def _typical_distance(group: Array) -> float:
    """Root mean square distance between two of them, 1 if all are equal."""
    return float(np.sqrt(2 * group.var(axis=0).sum())) or 1.0


class Predictor(ABC):
    """Learns from some architectures of a pool and predicts all of it."""

    @abstractmethod
    def fit(self, pool: Pool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        """Learn anew.

        Args:
            pool: what will be predicted.
            observed: which of it were evaluated; one may come twice.
            targets: what they scored, larger is better, ``(n_observed,)``.
            rng: of all randomness.
        """

    @abstractmethod
    def believe(self, pool: Pool, targets: Array, pending: Sequence[int], rng: np.random.Generator) -> Belief:
        """What is expected of each in the pool.

        Args:
            pool: the pool of the last ``fit``.
            targets: as in ``fit``, of all that were observed or added since; scaled anew.
            pending: which of the pool are being evaluated.
            rng: of all randomness.
        """

    def add(self, pool: Pool, index: int) -> None:
        """Take in another observation without learning anew; by default it waits for the next ``fit``."""
        return

    def extend(self, pool: Pool, observed: Sequence[int]) -> None:
        """The pool has grown since the last ``fit``."""
        return


def upper_confidence_bound(belief: Belief, best: float, exploration: float, rng: np.random.Generator) -> Array:
    """Mean plus ``exploration`` standard deviations."""
    return belief.mean + exploration * belief.spread


def expected_improvement(belief: Belief, best: float, exploration: float, rng: np.random.Generator) -> Array:
    """By how much the best is expected to be beaten (Jones et al., 1998)."""
    z = (belief.mean - best) / belief.spread
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(belief.spread * (z * ndtr(z) + density))


def thompson_sampling(belief: Belief, best: float, exploration: float, rng: np.random.Generator) -> Array:
    """One draw per candidate, independent of each other (BANANAS, section 4)."""
    return belief.mean + belief.spread * rng.standard_normal(len(belief.mean))


ACQUISITIONS: Mapping[str, Callable[[Belief, float, float, np.random.Generator], Array]] = {
    "ei": expected_improvement,
    "thompson": thompson_sampling,
    "ucb": upper_confidence_bound,
}
"""How a belief becomes a rank: takes the best target seen and ``exploration`` too."""


class PredictorSearcher(ArchitectureSearcher):
    """The searcher of all strategies with a predictor.

    Hard constraints that only a trial can tell are predicted like the objective: candidates that probably comply go
    first. With several objectives each proposal goes by another random weighting of them.

    Args:
        space: what to search.
        goal: what to search for.
        make_predictor: gives a fresh predictor; one more is made per constraint.
        n_initial: random architectures before it is used.
        acquisition: a name in ``ACQUISITIONS``.
        exploration: for "ucb".
        max_observations: how many the predictor learns from, the better half and the latest.
        max_enumerated: the largest space that is ranked as a whole.
        n_candidates: how many candidates are ranked in larger ones.
        renewal: by what factor observations grow until the predictor is fitted anew.
        common: see ``ArchitectureSearcher``.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        make_predictor: Callable[[], Predictor],
        n_initial: int = 5,
        acquisition: str = "ucb",
        exploration: float = 1.0,
        max_observations: int = 300,
        max_enumerated: int = 20_000,
        n_candidates: int = 500,
        renewal: float = _RENEWAL,
        **common: Any,
    ) -> None:
        super().__init__(space, goal, **common)
        self.n_initial, self.acquisition, self.exploration = n_initial, acquisition, exploration
        self.max_observations, self.n_candidates, self.renewal = max_observations, n_candidates, renewal
        self._make_predictor = make_predictor
        self._enumerates = space.size <= max_enumerated
        # Twins score alike but do not cost alike: a dead edge has parameters.
        self._merges = len(self.goal.objectives) == 1 and not self.goal.constraints
        self._whole: Pool | None = None
        self._pool: Pool | None = None
        self._seen: dict[Architecture, Evaluation] = {}
        self._tried: set[Hashable] = set()
        self._scored = _Record(make_predictor())
        self._limited: dict[str, _Record] = {}
        self._n_fitted = 0
        self._fitted_goal = self.goal

    def observe(self, evaluation: Evaluation) -> None:
        self._tried.add(self._key(evaluation.arch))
        self._seen[evaluation.arch] = evaluation

    def propose(self) -> Architecture | None:
        scored = [e for e in self._seen.values() if np.isfinite(self.goal.violation(e))]
        if len(scored) < 2 or len(scored) + len(self.running) < self.n_initial:
            return self._initial()
        if self._pool is None or self.goal != self._fitted_goal or len(self._seen) >= self._n_fitted * self.renewal:
            self._renew(scored)
        return self._most_promising()

    # --- candidates --------------------------------------------------------------------------------------------------

    def _key(self, arch: Architecture) -> Hashable:
        return self.space.function_key(arch) if self._merges else arch

    def _excluded(self) -> set[Hashable]:
        return self._tried.union(map(self._key, self.running))

    def _initial(self) -> Architecture | None:
        """What is tried before anything can be predicted."""
        return self._sample()

    def _sample(self) -> Architecture | None:
        """A random one that was not tried; where the whole space is ranked, each function is as probable."""
        excluded = self._excluded()
        if self._enumerates:
            pool = self._new_pool([])
            left = [arch for arch, key in zip(pool.archs, pool.keys, strict=True) if key not in excluded]
            return left[int(self.rng.integers(len(left)))] if left else None
        for _ in range(_MAX_TRIES):
            arch = self.space.sample(self.rng)
            if self._key(arch) not in excluded:
                break
        return arch

    def _new_pool(self, best: Sequence[Architecture]) -> Pool:
        """All that is ranked, and all that was observed."""
        if self._enumerates:
            if self._whole is None:
                self._whole = Pool(self.space, self._key)
                self._whole.add(self.space.enumerate())
            return self._whole
        scales = self._pool.scales if self._pool else None
        pool = Pool(self.space, self._key, scales)
        n = self.n_candidates // 4
        drawn = [self.space.sample(self.rng) for _ in range(n)]
        mutated = [self._mutated(best[int(self.rng.integers(len(best)))]) for _ in range(2 * n)]
        pairs = [self.rng.integers(len(best), size=2) for _ in range(n)]
        crossed = [self.space.crossover(best[i], best[j], self.rng) for i, j in pairs]
        pool.add([*drawn, *mutated, *crossed])
        return pool

    def _mutated(self, arch: Architecture) -> Architecture:
        for _ in range(1 + int(self.rng.geometric(0.5))):
            arch = self.space.mutate(arch, self.rng)
        return arch

    def _climb(self) -> None:
        """Let the neighbours of the most promising candidates in."""
        assert self._pool is not None
        ranks = self._ranks()
        n_before = len(self._pool)
        for index in np.argsort(-ranks, kind="stable")[:3]:
            neighbours = list(self.space.neighbours(self._pool.archs[index]))
            some = self.rng.permutation(len(neighbours))[:40]
            self._pool.add(neighbours[i] for i in some)
        if len(self._pool) > n_before:
            for record in (self._scored, *self._limited.values()):
                record.extend(self._pool)

    # --- beliefs -----------------------------------------------------------------------------------------------------

    def _renew(self, scored: Sequence[Evaluation]) -> None:
        """Choose what to learn from and what to rank, and fit the predictors."""
        best = [e.arch for e in self.goal.sort(scored)]
        kept = self._kept(scored, best)
        self._pool = pool = self._new_pool(best[:10])
        pool.add(e.arch for e in self._seen.values())
        pool.add(self.running)
        self._n_fitted, self._fitted_goal = len(self._seen), self.goal
        self._scored.fit(pool, kept, self._targets(kept), self.rng)
        for constraint in self.goal.hard:
            told = [e for e in self._seen.values() if not constraint.relative and constraint.metric in e.metrics]
            if len(told) >= 2:
                record = self._limited.setdefault(constraint.metric, _Record(self._make_predictor()))
                told = self._kept(told, [])
                record.fit(pool, told, _margins(constraint, told)[0], self.rng)
        if not self._enumerates:
            for _ in range(_CLIMBS):
                self._climb()

    def _kept(self, evaluations: Sequence[Evaluation], best: Sequence[Architecture]) -> list[Evaluation]:
        """The better half and the latest."""
        if len(evaluations) <= self.max_observations:
            return list(evaluations)
        n_best = self.max_observations // 2 if best else 0
        good = set(best[:n_best])
        latest = islice((e for e in reversed(evaluations) if e.arch not in good), self.max_observations - len(good))
        kept = good.union(e.arch for e in latest)
        return [e for e in evaluations if e.arch in kept]

    def _targets(self, evaluations: Sequence[Evaluation]) -> Array:
        """What the predictor learns: mean 0, variance 1, stretched towards the best."""
        scores = np.array([self.goal.scores(e) for e in evaluations])
        gaps = scores.max(axis=0) - scores
        if scores.shape[1] == 1:
            return _warped(gaps[:, 0])
        gaps = gaps / np.maximum(gaps.max(axis=0), 1e-12)
        weighted = gaps * self.rng.dirichlet(np.ones(scores.shape[1]))
        return _warped(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1))

    def _ranks(self) -> Array:
        """What is most promising has the largest number."""
        pool = self._pool
        assert pool is not None
        pending = [i for i in map(pool.index, self.running) if i is not None]
        targets = self._targets(self._scored.evaluations)
        belief = self._scored.predictor.believe(pool, targets, pending, self.rng)
        ranks = ACQUISITIONS[self.acquisition](belief, float(targets.max()), self.exploration, self.rng)
        chances = self._chances(pool)
        if chances is not None:  # Deb's rule, by prediction
            ranks = np.where(chances >= 0.5, ranks - ranks.min(), chances - 1.0)
        # Ties are broken by the order, not by the last bits of a sum.
        return np.round(ranks, 8)

    def _chances(self, pool: Pool) -> Array | None:
        """How probably each candidate meets all hard constraints."""
        chances: Array | None = None
        for constraint in self.goal.hard:
            record = self._limited.get(constraint.metric)
            if record is not None and not constraint.relative:
                targets, zero = _margins(constraint, record.evaluations)
                belief = record.predictor.believe(pool, targets, [], self.rng)
                meets: Array = ndtr((belief.mean - zero) / belief.spread)
                chances = meets if chances is None else chances * meets
        return chances

    def _most_promising(self) -> Architecture | None:
        assert self._pool is not None
        self._take_in()
        excluded = self._excluded()
        ranks = self._ranks()
        for index in np.argsort(-ranks, kind="stable"):
            if self._pool.keys[index] not in excluded:
                return self._pool.archs[int(index)]
        return None if self._enumerates else self._sample()

    @property
    def _pool_of_limits(self) -> Pool:
        """The pool of those that predict constraints."""
        assert self._pool is not None
        return self._pool

    def _take_in(self) -> None:
        """Tell the predictors what was observed since they were fitted."""
        assert self._pool is not None
        for evaluation in list(self._seen.values())[self._n_fitted :]:
            if np.isfinite(self.goal.violation(evaluation)):
                self._scored.add(self._pool, evaluation)
            for constraint in self.goal.hard:
                if constraint.metric in self._limited and constraint.metric in evaluation.metrics:
                    self._limited[constraint.metric].add(self._pool_of_limits, evaluation)


class _Record:
    """A predictor, and the evaluations that it knows."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.evaluations: list[Evaluation] = []
        self._indices: list[int] = []
        self._known: set[Architecture] = set()

    def fit(self, pool: Pool, evaluations: Sequence[Evaluation], targets: Array, rng: np.random.Generator) -> None:
        self.evaluations = list(evaluations)
        self._known = {e.arch for e in evaluations}
        found = [pool.index(e.arch) for e in evaluations]
        self._indices = [i for i in found if i is not None]
        self.predictor.fit(pool, self._indices, targets, rng)

    def add(self, pool: Pool, evaluation: Evaluation) -> None:
        index = pool.index(evaluation.arch)
        if index is None or evaluation.arch in self._known:
            return
        self.evaluations.append(evaluation)
        self._indices.append(index)
        self._known.add(evaluation.arch)
        self.predictor.add(pool, index)

    def extend(self, pool: Pool) -> None:
        self.predictor.extend(pool, self._indices)


def _warped(gaps: Array) -> Array:
    """Logarithms of the gaps to the best, in units of the median gap; what is far off does not matter how far."""
    positive = gaps[gaps > 0]
    unit = float(np.median(positive)) if len(positive) else 1.0
    targets = -np.log1p(gaps / unit)
    return np.asarray((targets - targets.mean()) / (targets.std() or 1.0))


def _margins(constraint: Constraint, evaluations: Sequence[Evaluation]) -> tuple[Array, float]:
    """How well each meets a constraint, mean 0 and variance 1, and the least that complies."""
    values = np.array([e.metrics[constraint.metric] for e in evaluations])
    limit = constraint.limit
    if limit > 0 and (values > 0).all():  # costs differ by factors
        values, limit = np.log(values), float(np.log(limit))
    margins = (limit - values) * (1 if constraint.op == "<=" else -1)
    spread = float(margins.std()) or 1.0
    return (margins - margins.mean()) / spread, -float(margins.mean()) / spread
