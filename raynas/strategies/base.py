"""Strategy: the settings of a whole search, from which fresh Tune parts are made."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from typing_extensions import Unpack

from raynas.core.archive import Archive
from raynas.core.cost_limits import Costs
from raynas.core.goal import Constraint, Goal, Objective
from raynas.core.joint_space import JointSpace
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.metrics import METRICS, Measurer, Metrics, read_goal


class EarlyStopping(ABC):
    """Settings of a scheduler that stops trials which do badly before they are fully trained."""

    @abstractmethod
    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        """A fresh scheduler that goes by ``objective`` for trials of at most ``max_fidelity`` reports."""


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """Settings of a search; a subclass gives ``make_searcher`` and its own fields.

    Args:
        early_stopping: how to stop trials early, if at all; composes with every strategy.
    """

    early_stopping: EarlyStopping | None = None

    @abstractmethod
    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        """Make a fresh searcher; hand ``options`` to ``ArchitectureSearcher`` unchanged."""

    def searcher(
        self,
        space: SearchSpace,
        objectives: str | Objective | Sequence[str | Objective] | Goal = "accuracy",
        constraints: str | Constraint | Sequence[str | Constraint] = (),
        *,
        metrics: Metrics = (),
        seed: int = 0,
        hyperparameters: Mapping[str, object] | None = None,
        costs: Costs | None = None,
        points_to_evaluate: Sequence[Mapping[str, object]] = (),
        baseline: Mapping[str, object] | None = None,
        archive: Archive | None = None,
    ) -> ArchitectureSearcher:
        """A fresh searcher for a ``tune.TuneConfig(search_alg=...)``.

        Args:
            space: what to search.
            objectives: one or several metrics, ``"accuracy"`` or ``"min:my_metric"``; or a whole goal.
            constraints: such as ``"params <= 1e6"``; see ``Constraint``.
            metrics: metrics of your own that objectives and constraints may name.
            seed: of all randomness.
            hyperparameters: Tune domains searched jointly with the architecture, e.g. ``{"lr": tune.loguniform(...)}``.
            costs: metrics that need no training, by name; default all that can be measured here.
            points_to_evaluate: Tune configs (or architectures) to try first.
            baseline: architecture that relative constraints are resolved against, tried before all others.
            archive: where to record; in memory by default.

        Raises:
            ValueError: if an objective or a constraint cannot be read.
            SpaceError: if a given architecture is not a member of the space.
        """
        goal = objectives if isinstance(objectives, Goal) else read_goal(objectives, constraints, metrics)
        joint = JointSpace(space, hyperparameters) if hyperparameters else space
        return self.make_searcher(
            joint,
            goal,
            seed=seed,
            costs=Measurer(space).costs({**METRICS, **goal.metrics}.values()) if costs is None else costs,
            points_to_evaluate=list(map(joint.point, points_to_evaluate)),
            baseline=None if baseline is None else joint.point(baseline),
            archive=archive,
        )

    def for_budget(self, n_trials: int) -> "Strategy":
        """This strategy for a search of that many trials; itself, unless the number changes what it does."""
        return self

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler | None:
        """A fresh scheduler, or None where every trial runs to its end."""
        return self.early_stopping.scheduler(objective, max_fidelity) if self.early_stopping else None

    def tune_config(
        self, space: SearchSpace, *, num_samples: int, max_fidelity: int = 100, max_concurrent: int = 1, **searcher: Any
    ) -> tune.TuneConfig:
        """Fresh parts for a ``tune.Tuner`` of the user's own.

        Args:
            space: what to search.
            num_samples: how many trials.
            max_fidelity: the most reports a trial gives, for early stopping.
            max_concurrent: how many trials at a time; more than one makes the search depend on the order of completion.
            searcher: further arguments of ``searcher``.
        """
        search_alg = self.for_budget(num_samples).searcher(space, **searcher)
        return tune.TuneConfig(
            search_alg=search_alg,
            scheduler=self.scheduler(search_alg.goal.first, max_fidelity),
            num_samples=num_samples,
            max_concurrent_trials=max_concurrent,
            reuse_actors=True,
        )


def require_at_least(settings: Strategy, least: Mapping[str, float]) -> None:
    """Check fields of a strategy.

    Raises:
        ValueError: if one is smaller than ``least`` says, or no number.
    """
    for name, bound in least.items():
        if not getattr(settings, name) >= bound:
            raise ValueError(f"{name} must be at least {bound}, got {getattr(settings, name)}")


def require_one_of(settings: Strategy, name: str, known: Collection[str]) -> None:
    """Check a field of a strategy that holds a name.

    Raises:
        ValueError: if it is none of ``known``.
    """
    if getattr(settings, name) not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(settings, name)!r}")
