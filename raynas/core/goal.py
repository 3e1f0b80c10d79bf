"""Goal: what a search is for, as objectives and constraints, and the order in which it ranks evaluations."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from raynas.core.constraint import Constraint
from raynas.core.evaluation import Evaluation
from raynas.core.metric import Metric, Mode
from raynas.core.pareto import crowding_distance, is_non_dominated, non_dominated_rank
from raynas.errors import SettingError, did_you_mean


@dataclass(frozen=True)
class Objective:
    """A metric to maximise or minimise.

    Args:
        metric: the result key.
        mode: "max" or "min".

    Raises:
        SettingError: if there is no metric, or the mode is neither.
    """

    metric: str
    mode: Mode

    def __post_init__(self) -> None:
        if not self.metric:
            raise SettingError("an objective needs a metric, e.g. 'accuracy' or 'min:my_metric', got none")
        if self.mode not in get_args(Mode):
            raise SettingError(f"the direction of objective {self.metric!r} must be 'max' or 'min', got {self.mode!r}")

    @classmethod
    def parse(cls, text: "str | Objective", metrics: Mapping[str, Metric] | None = None) -> "Objective":
        """Read ``"accuracy"`` or ``"min:my_metric"``.

        Args:
            text: what to read; an objective is returned as it is.
            metrics: the metrics whose direction is known; "accuracy" is known without.

        Raises:
            SettingError: if the direction is missing for a metric that is not among them.
        """
        if isinstance(text, Objective):
            return text
        mode, colon, name = text.partition(":")
        if colon and mode in get_args(Mode):
            return cls(name, mode)  # type: ignore[arg-type]
        known = {ACCURACY.metric: ACCURACY.mode, **{metric.name: metric.mode for metric in (metrics or {}).values()}}
        if text and text not in known:
            wanted = name if name in known or not mode else text
            raise SettingError(
                f"objective {text!r} needs a direction: write 'max:{wanted}' or 'min:{wanted}' "
                f"(known without one: {', '.join(known)}){did_you_mean(wanted, known)}"
            )
        return cls(text, known.get(text, "max"))

    @property
    def sign(self) -> int:
        """The factor that makes larger values better, 1 or -1."""
        return 1 if self.mode == "max" else -1


ACCURACY = Objective("accuracy", "max")
"""The objective of a search that names none."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints together: the order in which a search ranks evaluations.

    Deb's rule (2002): what complies goes before what does not, less violation before more; then one objective by its
    value, several by non-dominated rank and crowding distance.

    Args:
        objectives: at least one, of different metrics.
        constraints: hard and soft ones.
        metrics: the metrics that are known, by name: how objectives were read, and how values are measured and shown.
        watched: names of metrics that are measured and shown although nothing is ranked by them.
        baseline: metrics of the baseline, as far as they are known.

    Raises:
        SettingError: if there is no objective, or two are of the same metric.
    """

    objectives: tuple[Objective, ...] = (ACCURACY,)
    constraints: tuple[Constraint, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict, compare=False, repr=False)
    watched: tuple[str, ...] = field(default=(), compare=False)
    baseline: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        metrics = [objective.metric for objective in self.objectives]
        if not metrics or len(set(metrics)) != len(metrics):
            raise SettingError(f"a search needs different objectives, at least one, got {metrics}")

    @classmethod
    def parse(
        cls,
        objectives: "str | Objective | Sequence[str | Objective]" = "accuracy",
        constraints: "str | Constraint | Sequence[str | Constraint]" = (),
        metrics: Mapping[str, Metric] | None = None,
        watched: Sequence[str] = (),
    ) -> "Goal":
        """Read one or several objectives and constraints.

        Args:
            objectives: e.g. ``"accuracy"`` or ``["accuracy", "min:my_metric"]``.
            constraints: see ``Constraint``.
            metrics: the metrics that are known, by name.
            watched: names of metrics to measure and show besides.

        Raises:
            SettingError: if one cannot be read.
        """
        metrics = metrics or {}
        if isinstance(objectives, str | Objective):
            objectives = [objectives]
        if isinstance(constraints, str | Constraint):
            constraints = [constraints]
        return cls(
            tuple(Objective.parse(objective, metrics) for objective in objectives),
            tuple(map(Constraint.parse, constraints)),
            metrics,
            tuple(watched),
        )

    @property
    def first(self) -> Objective:
        """The objective that schedulers and summaries go by."""
        return self.objectives[0]

    @property
    def names(self) -> list[str]:
        """The metrics that objectives and constraints name, each once."""
        return list(dict.fromkeys([o.metric for o in self.objectives] + [c.metric for c in self.constraints]))

    @property
    def asked(self) -> list[str]:
        """The metrics that every trial must have: those of objectives and constraints, and those watched."""
        return list(dict.fromkeys([*self.names, *self.watched]))

    @property
    def hard(self) -> list[Constraint]:
        """The constraints that refuse."""
        return [constraint for constraint in self.constraints if not constraint.soft]

    def against(self, baseline: Mapping[str, float]) -> "Goal":
        """Make relative constraints absolute where the baseline's value is known; a value known before stays."""
        baseline = {**baseline, **self.baseline}
        return replace(self, constraints=tuple(c.against(baseline) for c in self.constraints), baseline=baseline)

    def violation(self, evaluation: Evaluation) -> float:
        """Sum of the shares by which hard constraints are broken; infinite for a failure or a missing objective."""
        if not evaluation.ok or any(o.metric not in evaluation.metrics for o in self.objectives):
            return math.inf
        return sum(constraint.violation(evaluation.metrics) for constraint in self.hard)

    def scores(self, evaluation: Evaluation) -> tuple[float, ...]:
        """One number per objective, larger is better, soft constraints applied; -inf where it is missing."""
        metrics = evaluation.metrics
        factor = math.prod(constraint.factor(metrics) for constraint in self.constraints)
        term = sum(constraint.term(metrics) for constraint in self.constraints)
        return tuple(_scaled(o, metrics.get(o.metric, -o.sign * math.inf), factor) + term for o in self.objectives)

    def order(self, evaluations: Sequence[Evaluation]) -> list[int]:
        """Return indices, best first; stable, so that the earlier of two equals is first.

        What breaks a hard constraint is dominated by all that comply, so it has no say in how those are ranked.
        """
        keys: list[tuple[float, ...]] = [(self.violation(e), 0.0, 0.0) for e in evaluations]
        if len(self.objectives) == 1:
            keys = [(violation, 0.0, -self.scores(e)[0]) for (violation, *_), e in zip(keys, evaluations, strict=True)]
        else:
            complying = [i for i, key in enumerate(keys) if key[0] == 0]
            scores = [self.scores(evaluations[i]) for i in complying]
            ranks = non_dominated_rank(scores)
            for i, rank, distance in zip(complying, ranks, crowding_distance(scores, ranks), strict=True):
                keys[i] = (0.0, float(rank), -float(distance))
        return sorted(range(len(keys)), key=keys.__getitem__)

    def sort(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Best first, see ``order``."""
        candidates = list(evaluations)
        return [candidates[i] for i in self.order(candidates)]

    def best(self, evaluations: Iterable[Evaluation]) -> Evaluation | None:
        """Return the best evaluation that succeeded and complies; None if there is none."""
        complying = [e for e in evaluations if self.violation(e) == 0]
        return self.sort(complying)[0] if complying else None

    def pareto_front(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Return the complying evaluations that no other dominates, best in the first objective first."""
        complying = [e for e in evaluations if self.violation(e) == 0]
        on_front = is_non_dominated([self.scores(e) for e in complying])
        front = [e for e, is_on_front in zip(complying, on_front, strict=True) if is_on_front]
        return sorted(front, key=lambda e: self.scores(e), reverse=True)


def _scaled(objective: Objective, value: float, factor: float) -> float:
    """Larger is better; the factor makes it worse whichever sign it has."""
    score = objective.sign * value
    return score * factor if score >= 0 else score / factor
