"""Strategy: the settings of a whole search, which make fresh Tune objects."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from typing_extensions import Unpack

from raynas.core.archive import Archive
from raynas.core.cost_limits import Costs
from raynas.core.goal import Constraints, Goal, Objective, Objectives
from raynas.core.joint_space import JointSpace
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, SpaceError
from raynas.metrics import METRICS, Measurer, Metrics, read_goal
from raynas.strategies.schedulers.scored import rank_by_score


class EarlyStopping(ABC):
    """Settings of a scheduler that stops bad trials before they are fully trained."""

    @abstractmethod
    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        """Make a fresh scheduler that compares trials of at most ``max_fidelity`` reports by ``objective``.

        Soft constraints enter the values that it sees, see ``rank_by_score``.
        """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that the scheduler reads besides the objective."""
        return ()

    @property
    def required(self) -> tuple[str, ...]:
        """Names of those of ``metrics`` without which no trial can be stopped."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """Settings of a search; a subclass gives ``make_searcher`` and its own fields.

    Args:
        early_stopping: stops trials early; composes with every strategy.
    """

    early_stopping: EarlyStopping | None = None

    @abstractmethod
    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        """Make a fresh searcher; hand ``options`` to ``ArchitectureSearcher`` unchanged."""

    def searcher(
        self,
        space: SearchSpace,
        objectives: Objectives | Goal = "accuracy",
        constraints: Constraints = (),
        *,
        metrics: Metrics = (),
        seed: int = 0,
        hyperparameters: Mapping[str, object] | None = None,
        costs: Costs | None = None,
        points_to_evaluate: Sequence[Mapping[str, object]] = (),
        baseline: Mapping[str, object] | None = None,
        archive: Archive | None = None,
    ) -> ArchitectureSearcher:
        """Make a fresh searcher for a ``tune.TuneConfig(search_alg=...)``.

        Args:
            space: the space to search.
            objectives: one or several metrics, ``"accuracy"`` or ``"min:my_metric"``; or a whole goal.
            constraints: such as ``"params <= 1e6"``; see ``Constraint``.
            metrics: metrics of your own that objectives and constraints may name.
            seed: of all randomness.
            hyperparameters: Tune domains searched jointly with the architecture, e.g. ``{"lr": tune.loguniform(...)}``.
            costs: metrics that need no training, by name; default all that can be measured here.
            points_to_evaluate: Tune configs (or architectures) to try first.
            baseline: the architecture that relative constraints refer to; tried before all others.
            archive: records every event; in memory by default.

        Raises:
            SettingError: if an objective or a constraint cannot be read.
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
        """Adapt the strategy to a number of trials; most return themselves."""
        return self

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler | None:
        """Make a fresh scheduler; return None if every trial is to run to its end."""
        return self.early_stopping.scheduler(objective, max_fidelity) if self.early_stopping else None

    def tune_config(
        self, space: SearchSpace, *, num_samples: int, max_fidelity: int = 100, max_concurrent: int = 1, **searcher: Any
    ) -> tune.TuneConfig:
        """Make fresh parts for the user's ``tune.Tuner``.

        Args:
            space: the space to search.
            num_samples: number of trials.
            max_fidelity: the maximum number of reports per trial, for early stopping.
            max_concurrent: number of trials at a time; if above 1, the search depends on the order of completion.
            searcher: further arguments of ``searcher``.
        """
        search_alg = self.for_budget(num_samples).searcher(space, **searcher)
        scheduler = self.scheduler(search_alg.goal.first, max_fidelity)
        if scheduler is not None:
            rank_by_score(scheduler, search_alg)
        return tune.TuneConfig(
            search_alg=search_alg,
            scheduler=scheduler,
            num_samples=num_samples,
            max_concurrent_trials=max_concurrent,
            reuse_actors=True,
        )


def require_at_least(settings: Strategy, least: Mapping[str, float]) -> None:
    """Check fields of a strategy.

    Raises:
        SettingError: if one is smaller than its least value, or NaN.
    """
    for name, bound in least.items():
        if not getattr(settings, name) >= bound:
            raise SettingError(f"{name} must be at least {bound}, got {getattr(settings, name)}")


def require_one_of(settings: Strategy, name: str, known: Collection[str]) -> None:
    """Check a field of a strategy that holds a name.

    Raises:
        SettingError: if it is none of ``known``.
    """
    if getattr(settings, name) not in known:
        raise SettingError(f"{name} must be one of {', '.join(known)}, got {getattr(settings, name)!r}")


def refuse_continuous(space: SearchSpace, reason: str) -> None:
    """Check that every decision of a space is a choice between options.

    Raises:
        SpaceError: if a decision is continuous; the message begins with ``reason``.
    """
    for decision in space.decisions:
        if not decision.options:
            raise SpaceError(f"{reason} continuous decisions such as {decision.name!r}")


def require_probabilities(settings: object, *names: str) -> None:
    """Check fields that hold a probability or None.

    Raises:
        SettingError: if one is outside [0, 1].
    """
    for name in names:
        if (value := getattr(settings, name)) is not None and not 0 <= value <= 1:
            raise SettingError(f"{type(settings).__name__} needs {name} in [0, 1], got {value}")
