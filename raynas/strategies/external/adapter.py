"""Adapter: one of Tune's own searchers as an ArchitectureSearcher: it skips duplicates and obeys constraints."""

from abc import abstractmethod
from collections import defaultdict, deque
from typing import Any

from ray.tune.search import Searcher

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace

MAX_REPEATS = 3
"""How often in a row the other searcher may repeat itself; then mutations of what it repeats follow, until one is new.

A model that is sure of its optimum proposes it for ever, and each proposal of a Gaussian process takes longer.
"""


class AdaptedSearcher(ArchitectureSearcher):
    """Asks another Tune searcher for configs and tells it the scores, larger is better, soft constraints applied.

    A subclass gives ``make_inner``. The other searcher names its trials by a running number.
    """

    def __init__(self, space: SearchSpace, goal: Goal | None = None, *, seed: int = 0, **common: Any) -> None:
        super().__init__(space, goal, seed=seed, **common)
        self._inner = self.make_inner(seed)
        self._asked: dict[Architecture, deque[str]] = defaultdict(deque)
        self._n_asked = 0
        self._n_repeats = 0
        self._repeated: Architecture | None = None
        self._seen: set[Architecture] = set()

    @abstractmethod
    def make_inner(self, seed: int) -> Searcher:
        """A fresh searcher over ``inner_space``, maximising ``inner_metrics``."""

    @property
    def inner_metrics(self) -> list[str]:
        """The names under which the other searcher gets the scores."""
        return [f"score_{i}" for i in range(len(self.goal.objectives))]

    @property
    def inner_space(self) -> dict[str, Any]:
        """The space as Tune domains, decisions under "arch"."""
        domains = self.space.param_space()
        return domains if isinstance(domains.get("arch"), dict) else {"arch": domains}

    def propose(self) -> Architecture:
        if self._repeated is not None:
            point = self.space.mutate(self._repeated, self.rng)
        else:
            point = self._ask()
            self._n_repeats = self._n_repeats + 1 if point in self._seen else 0
        is_stuck = point in self._seen and self._n_repeats >= MAX_REPEATS
        self._repeated = point if is_stuck else None
        self._seen.add(point)
        return point

    def _ask(self) -> Architecture:
        trial = str(self._n_asked)
        config = self._inner.suggest(trial)
        assert isinstance(config, dict)
        self._n_asked += 1
        point = self.space.from_config(config)
        self._asked[point].append(trial)
        return point

    def observe(self, evaluation: Evaluation) -> None:
        waiting = self._asked.get(evaluation.arch)
        if not waiting:
            self.observe_unasked(evaluation)
            return
        trial = waiting.popleft()
        if not evaluation.ok:
            self._inner.on_trial_complete(trial, error=True)
            return
        scores = dict(zip(self.inner_metrics, self.goal.scores(evaluation), strict=True))
        self._inner.on_trial_complete(trial, result={**scores, "training_iteration": evaluation.fidelity})

    def observe_unasked(self, evaluation: Evaluation) -> None:
        """Learn from an evaluation that the other searcher did not ask for; by default it cannot."""
