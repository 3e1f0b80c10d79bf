"""FunnelStage: one step of a funnel: a way of scoring, a number of architectures, an order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from ray import tune
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Constraints, Goal, Objective, Objectives
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.metrics import METRICS
from raynas.run.trainables import as_settings
from raynas.strategies import EarlyStopping, Strategy
from raynas.trials import TRIALS, Training, TrialSettings, ZeroCost
from raynas.trials.proxy_scorer import ENSEMBLE_KEY
from raynas.validate import require, whole


@dataclass(frozen=True)
class FunnelStage:
    """Score the best ``n`` of the stage before; in the first stage, ``n`` that a strategy proposes.

    Args:
        trainable: the way of scoring: settings such as ``ZeroCost()`` or ``Training(epochs=2)``, a function
            ``fn(model, config)``, or a ``tune.Trainable``.
        n: number of architectures.
        objectives: the metrics that they are ranked by here; default those of the funnel, and for ``ZeroCost`` its only
            proxy or the ensemble. A proxy needs no direction: larger is better.
        constraints: further limits, for this stage alone.
        early_stopping: the rule that stops trials early, if any; a stopped trial is not a candidate for the next stage.
        n_random: number of the ``n`` that are drawn at random from all that the stage before scored, instead of its
            best: without any, the rank correlation with its score is that among its own best alone.

    Raises:
        TypeError: if ``trainable`` is no way of scoring.
        SettingError: if ``n`` is below 1, or objectives or constraints cannot be read.
    """

    trainable: TrialSettings | type[tune.Trainable] | Callable[..., Any]
    n: int = field(kw_only=True)
    objectives: Objectives | None = field(default=None, kw_only=True)
    constraints: Constraints = field(default=(), kw_only=True)
    early_stopping: EarlyStopping | None = field(default=None, kw_only=True)
    n_random: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole("n of a stage", self.n, 1))
        object.__setattr__(self, "n_random", whole("n_random of a stage", self.n_random, 0))
        require(self.n_random <= self.n, f"n_random must be at most n ({self.n})", self.n_random)
        self.goal(Goal(), is_last=True)

    @cached_property
    def settings(self) -> TrialSettings:
        """The way of scoring."""
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
        """True if the fidelity of its evaluations counts epochs."""
        return isinstance(self.settings, Training) or self.settings.max_fidelity > 1

    def goal(self, of_funnel: Goal, *, is_last: bool) -> Goal:
        """Return the goal of this stage.

        A metric that needs training means something else after less of it, so limits on it hold in the last stage only.

        Args:
            of_funnel: the goal of the funnel.
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
    """Return the goal of each stage of a funnel; a mistake in the last one would otherwise show hours later.

    Raises:
        RaynasError: if a stage does not report a metric of its goal.
        SettingError: if there are fewer than two stages, or one has more architectures than the one before.
    """
    if len(stages) < 2:
        raise SettingError(f"a funnel needs at least two stages, got {len(stages)}: raynas.search is for one")
    for i, (wide, narrow) in enumerate(pairwise(stages), 2):
        if narrow.n > wide.n:
            raise SettingError(f"stage {i} of a funnel can have at most the {wide.n} of stage {i - 1}, got {narrow.n}")
    goals = tuple(stage.goal(of_funnel, is_last=i == len(stages)) for i, stage in enumerate(stages, 1))
    for stage, goal in zip(stages, goals, strict=True):
        stage.settings.check_goal(goal)
    return goals


def survivors(
    goal: Goal,
    evaluations: Sequence[Evaluation],
    n: int,
    space: SearchSpace,
    *,
    merges: bool,
    n_random: int = 0,
    seed: int = 0,
) -> list[Evaluation]:
    """Return the evaluations whose architectures enter the next stage, best first; see ``Goal.order`` for equals.

    Args:
        goal: ranks them; an evaluation that breaks a hard constraint is dropped.
        evaluations: of the stage; those that failed or were stopped early are dropped.
        n: their largest number.
        space: knows which architectures compute the same function.
        merges: whether to keep only the best of those.
        n_random: number of these that are drawn from what is not among the best; they are last.
        seed: of the draw, which does not depend on the order of the evaluations.
    """
    best: dict[Any, Evaluation] = {}
    for e in goal.sort(e for e in evaluations if e.status == "finished" and goal.violation(e) == 0):
        best.setdefault(space.function_key(e.arch) if merges else e.arch, e)
    ranked = list(best.values())
    chosen, others = ranked[: n - n_random], ranked[n - n_random :]
    others.sort(key=lambda e: (e.arch.key, e.trial))
    drawn = np.random.default_rng(seed).permutation(len(others))[:n_random]
    return [*chosen, *(others[i] for i in drawn)]


@dataclass(frozen=True, kw_only=True)
class Listed(Strategy):
    """Proposes nothing but the points that it is given."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return ListedSearcher(space, goal, **options)


class ListedSearcher(ArchitectureSearcher):
    """The searcher of ``Listed``."""

    def propose(self) -> Architecture | None:
        return None

    def observe(self, evaluation: Evaluation) -> None:
        """There is nothing to learn for."""
