"""FunnelStage: a line of a funnel: how architectures are scored, how many, and by what they are ranked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Constraint, Goal, Objective
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.metrics import METRICS
from raynas.run.trainables import as_settings
from raynas.strategies import EarlyStopping, Strategy
from raynas.trials import TRIALS, Training, TrialSettings, ZeroCost
from raynas.trials.zero_cost import ENSEMBLE_KEY

Objectives = str | Objective | Sequence[str | Objective]
Constraints = str | Constraint | Sequence[str | Constraint]


@dataclass(frozen=True)
class FunnelStage:
    """Score the best ``n`` of the stage before; in the first stage, ``n`` that a strategy proposes.

    Args:
        trainable: how: settings such as ``ZeroCost()`` or ``Training(epochs=2)``, a function ``fn(model, config)``, or
            a ``tune.Trainable``.
        n: how many architectures.
        objectives: what they are ranked by here; default those of the funnel, and for ``ZeroCost`` its only proxy or
            the ensemble. A proxy needs no direction: larger is better.
        constraints: further limits, for this stage alone.
        early_stopping: how to stop trials early, if at all; what was stopped does not go on to the next stage.

    Raises:
        TypeError: if ``trainable`` is no way of scoring.
        ValueError: if ``n`` is below 1, or objectives or constraints cannot be read.
    """

    trainable: TrialSettings | type[tune.Trainable] | Callable[..., Any]
    n: int = field(kw_only=True)
    objectives: Objectives | None = field(default=None, kw_only=True)
    constraints: Constraints = field(default=(), kw_only=True)
    early_stopping: EarlyStopping | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or isinstance(self.n, bool) or self.n < 1:
            raise ValueError(f"n of a stage must be a whole number of at least 1, got {self.n!r}")
        self.goal(Goal(), is_last=True)

    @cached_property
    def settings(self) -> TrialSettings:
        """How architectures are scored."""
        return as_settings(self.trainable)

    @property
    def kind(self) -> str:
        """A short name of the way of scoring."""
        known = next((name for name, cls in TRIALS.items() if type(self.settings) is cls), "")
        return known or str(getattr(self.trainable, "__name__", type(self.settings).__name__))

    @property
    def title(self) -> str:
        """The way of scoring in a line."""
        name = getattr(self.trainable, "__name__", "")
        return f"{self.kind} {name}" if name and self.kind != name else name or self.settings.description

    @property
    def trains(self) -> bool:
        """Whether the fidelity of its evaluations counts epochs."""
        return isinstance(self.settings, Training) or self.settings.max_fidelity > 1

    def goal(self, of_funnel: Goal, *, is_last: bool) -> Goal:
        """What this stage ranks by.

        What only training tells means something else after less of it, so limits on that are for the last stage.

        Args:
            of_funnel: what the funnel is for.
            is_last: whether no stage follows.
        """
        held = [c for c in of_funnel.constraints if is_last or _needs_no_training(c.metric, of_funnel)]
        known = {**METRICS, **of_funnel.metrics}
        own = Goal.parse(self._objectives(of_funnel), self.constraints, known)
        constraints = tuple(dict.fromkeys((*held, *own.constraints)))
        return Goal(own.objectives, constraints, known, of_funnel.watched)

    def _objectives(self, of_funnel: Goal) -> Sequence[str | Objective]:
        asked = self.objectives
        if not isinstance(self.settings, ZeroCost):
            return of_funnel.objectives if asked is None else [asked] if isinstance(asked, str | Objective) else asked
        if asked is None:
            asked = self.settings.proxies[0] if len(self.settings.proxies) == 1 else ENSEMBLE_KEY
        return [asked] if isinstance(asked, str | Objective) else asked


def _needs_no_training(name: str, goal: Goal) -> bool:
    metric = {**METRICS, **goal.metrics}.get(name)
    return metric is not None and metric.measure is not None and metric.needs != "data"


def check_stages(stages: Sequence[FunnelStage], of_funnel: Goal) -> tuple[Goal, ...]:
    """What each stage of a funnel ranks by; here, because a mistake in the last would show hours later.

    Raises:
        RaynasError: if a stage cannot give a metric that it is to be ranked by.
        ValueError: if there are fewer than two stages, or one has more architectures than the one before.
    """
    if len(stages) < 2:
        raise ValueError(f"a funnel needs at least two stages, got {len(stages)}: raynas.search is for one")
    for i, (wide, narrow) in enumerate(pairwise(stages), 2):
        if narrow.n > wide.n:
            raise ValueError(f"stage {i} of a funnel can have at most the {wide.n} of stage {i - 1}, got {narrow.n}")
    goals = tuple(stage.goal(of_funnel, is_last=i == len(stages)) for i, stage in enumerate(stages, 1))
    for stage, goal in zip(stages, goals, strict=True):
        stage.settings.check_metrics(goal.names)
    return goals


def survivors(
    goal: Goal, evaluations: Sequence[Evaluation], n: int, space: SearchSpace, *, merges: bool
) -> list[Evaluation]:
    """The best that go on, best first; of two equals the earlier.

    Args:
        goal: how they are ranked; what breaks a hard constraint stays behind.
        evaluations: what was scored; what failed or was stopped early stays behind.
        n: how many at most.
        space: knows which compute the same function.
        merges: whether only the best of those goes on.
    """
    best: dict[Any, Evaluation] = {}
    for e in goal.sort(e for e in evaluations if e.status == "finished" and goal.violation(e) == 0):
        best.setdefault(space.function_key(e.arch) if merges else e.arch, e)
    return list(best.values())[:n]


@dataclass(frozen=True, kw_only=True)
class Listed(Strategy):
    """Proposes nothing but the points that it is given."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return ListedSearcher(space, goal, **common)


class ListedSearcher(ArchitectureSearcher):
    """The searcher of ``Listed``."""

    def propose(self) -> Architecture | None:
        return None

    def observe(self, evaluation: Evaluation) -> None:
        """There is nothing to learn for."""
