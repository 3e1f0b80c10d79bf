"""Adapter: a searcher of Tune as an ArchitectureSearcher, which skips duplicates and obeys constraints."""

from abc import abstractmethod
from collections import defaultdict, deque
from typing import Any

import numpy as np
from ray.tune.search import Searcher
from ray.tune.search.sample import Domain
from ray.tune.utils import flatten_dict
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace

MAX_REPEATS = 3
"""Number of repeats in a row after which mutations of the repeated proposal follow, until one is new.

A model that has converged proposes its optimum for ever, and each proposal of a Gaussian process takes longer.
"""


class AdaptedSearcher(ArchitectureSearcher):
    """Asks another Tune searcher for configs and reports scores to it, larger is better, soft constraints applied.

    A subclass gives ``make_inner``. Trials of the other searcher are named by consecutive numbers.
    """

    def __init__(self, space: SearchSpace, goal: Goal | None = None, **options: Unpack[SearcherOptions]) -> None:
        super().__init__(space, goal, **options)
        self._inner = self.make_inner(options.get("seed", 0))
        self._asked: dict[Architecture, deque[str]] = defaultdict(deque)
        self._n_asked = 0
        self._n_repeats = 0
        self._repeated: Architecture | None = None
        self._seen: set[Architecture] = set()
        self._added: set[Architecture] = set()

    @abstractmethod
    def make_inner(self, seed: int) -> Searcher:
        """Make a fresh searcher over ``inner_space`` that maximises ``inner_metrics``."""

    @property
    def inner_metrics(self) -> list[str]:
        """Names of the scores that the other searcher maximises."""
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
        """Learn from an evaluation that the other searcher did not ask for; by default ignore it."""

    def is_new(self, evaluation: Evaluation) -> bool:
        """Return whether the other searcher can learn from an evaluation that it did not ask for; True once."""
        point = evaluation.arch
        if not evaluation.ok or point in self._added or point in self._asked:
            return False
        self._added.add(point)
        return True

    def filled(self, point: Architecture) -> dict[str, Any]:
        """Return the other searcher's parameters of a point, inactive decisions too, whose values do not matter."""
        rng = np.random.default_rng(0)
        defaults = {f"arch/{d.name}": d.sample(rng) for d in self.space.decisions}
        given = flatten_dict(self.space.to_config(point))
        return {name: given.get(name, defaults.get(name)) for name in self.domains}

    @property
    def domains(self) -> dict[str, Domain]:
        """The domains of the other searcher's parameters, by name."""
        return {name: d for name, d in flatten_dict(self.inner_space).items() if isinstance(d, Domain)}
