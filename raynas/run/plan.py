"""SearchPlan: what a search was asked for, read and checked, and the searcher that follows from it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raynas.core.archive import Archive
from raynas.core.goal import Constraints, Goal, Objectives
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.metrics import Metrics
from raynas.run.asked import read_asked
from raynas.run.baseline import Baseline, Reference, baseline_figures, check_baseline, read_baseline
from raynas.run.identity import Identity
from raynas.run.report import title_of
from raynas.run.session import first_budget
from raynas.run.trainables import Trainable, as_settings, as_strategy, label_of
from raynas.strategies import Strategy
from raynas.trials.settings import TrialSettings
from raynas.validate import whole


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The arguments of ``raynas.search`` that say what is searched, and how.

    Args:
        space: the space of the architectures.
        settings: the way of scoring.
        strategy: proposes.
        goal: objectives and constraints as the user wrote them, and the metrics that trials are asked for.
        reference: the baseline; None if there is none.
        seed: of the strategy.
        hyperparameters: Tune domains searched jointly.
        points_to_evaluate: architectures to try first.
    """

    space: SearchSpace
    settings: TrialSettings
    strategy: Strategy
    goal: Goal
    reference: Reference | None
    seed: int
    hyperparameters: Mapping[str, object] | None
    points_to_evaluate: Sequence[Mapping[str, object]]

    @classmethod
    def read(
        cls,
        space: SearchSpace,
        trainable: Trainable,
        strategy: Strategy | None,
        *,
        objectives: Objectives,
        constraints: Constraints,
        metrics: Metrics,
        seed: int,
        hyperparameters: Mapping[str, object] | None,
        baseline: Baseline | None,
        points_to_evaluate: Sequence[Mapping[str, object]],
        tolerance: float | None = None,
    ) -> "SearchPlan":
        """Read the arguments; ``raynas.search`` describes them.

        Raises:
            ValueError: if one cannot be read.
        """
        seed = whole("seed", seed, 0)
        strategy, settings = as_strategy(strategy), as_settings(trainable)
        goal = read_asked(objectives, constraints, metrics, strategy, settings, tolerance)
        reference = read_baseline(baseline, space, hyperparameters, goal)
        check_baseline(goal, reference)
        return cls(
            space=space,
            settings=settings,
            strategy=strategy,
            goal=goal,
            reference=reference,
            seed=seed,
            hyperparameters=hyperparameters,
            points_to_evaluate=points_to_evaluate,
        )

    @property
    def default_name(self) -> str:
        """Name of the folder where none is given: other objectives or limits than the usual ones have another."""
        names = [self.space.name, label_of(self.settings), type(self.strategy).__name__]
        asked = [*(f"{o.mode}:{o.metric}" for o in self.goal.objectives), *map(str, self.goal.constraints)]
        if asked != ["max:accuracy"]:
            names.append(hashlib.sha256("\n".join(asked).encode()).hexdigest()[:6])
        return "-".join(names)

    def begun(self, archive: Archive, num_samples: int) -> "SearchPlan":
        """Return the plan with the strategy for the number of trials that the search in an archive began with."""
        return replace(self, strategy=self.strategy.for_budget(first_budget(archive, num_samples)))

    def figures(self, archive: Archive) -> dict[str, float]:
        """Return the metrics of the baseline that limits refer to; see ``baseline_figures``."""
        return baseline_figures(archive, self.goal, self.reference, self.settings)

    def searcher(
        self, archive: Archive, figures: Mapping[str, float], *, seed: int | None = None
    ) -> ArchitectureSearcher:
        """Make a fresh searcher.

        Args:
            archive: where it records; it is not replayed.
            figures: of the baseline.
            seed: another seed than the plan's.
        """
        return self.strategy.searcher(
            self.space,
            self.goal.against(figures),
            seed=self.seed if seed is None else seed,
            hyperparameters=self.hyperparameters,
            costs=self.settings.costs(self.space, self.goal.metrics),
            points_to_evaluate=self.points_to_evaluate,
            baseline=self.reference.config if self.reference else None,
            archive=archive,
        )

    def identity(self, space: SearchSpace) -> Identity:
        """Return the identity of the search; ``space`` has its hyperparameters too."""
        return Identity.of(space, self.goal, self.settings)

    def facts(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """Return what a session notes besides its identity, given the figures of the baseline."""
        facts = {"title": title_of(self.space, self.settings, self.strategy), "strategy": repr(self.strategy)}
        named = {"baseline_is": self.reference.name} if self.reference else {}
        return {**facts, "seed": self.seed, "baseline": dict(figures), **named}
