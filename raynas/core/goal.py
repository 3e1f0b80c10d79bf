"""Goal: what a search is for, as objectives and constraints, and the order in which it ranks evaluations."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from raynas.core.constraint import Constraint
from raynas.core.evaluation import Evaluation
from raynas.core.metric import Metric
from raynas.core.near_ties import cost_signs, costs_of, noise_among, proven
from raynas.core.objective import ACCURACY, Objective
from raynas.core.pareto import crowding_distance, is_non_dominated, non_dominated_rank
from raynas.errors import SettingError

__all__ = ["ACCURACY", "Constraints", "Goal", "Objective", "Objectives"]

Objectives = str | Objective | Sequence[str | Objective]
"""One or several objectives, as a user writes them."""

Constraints = str | Constraint | Sequence[str | Constraint]
"""One or several constraints, as a user writes them; see ``Constraint``."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints together: the order in which a search ranks evaluations.

    Deb's rule (2002): what complies goes before what does not, less violation before more; then one objective by its
    value, several by non-dominated rank and crowding distance. Of equal values the cheaper is first: by the metrics of
    constraints, then params and macs, as far as they are known; then the earlier.

    Args:
        objectives: at least one, of different metrics.
        constraints: hard and soft ones.
        metrics: the metrics that are known, by name: how objectives were read, and how values are measured and shown.
        watched: names of metrics that are measured and shown although nothing is ranked by them.
        baseline: metrics of the baseline, as far as they are known.
        tolerance: difference of the first objective up to which two candidates count as equal where the best is chosen;
            0 for exact ties alone, None for one standard error, as far as it is known.

    Raises:
        SettingError: if there is no objective, or two are of the same metric.
    """

    objectives: tuple[Objective, ...] = (ACCURACY,)
    constraints: tuple[Constraint, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict, compare=False, repr=False)
    watched: tuple[str, ...] = field(default=(), compare=False)
    baseline: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    tolerance: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        metrics = [objective.metric for objective in self.objectives]
        if not metrics or len(set(metrics)) != len(metrics):
            raise SettingError(f"a search needs different objectives, at least one, got {metrics}")

    @classmethod
    def parse(
        cls,
        objectives: Objectives = "accuracy",
        constraints: Constraints = (),
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
        """Return indices, best first; of equals the cheaper, then the earlier is first.

        What breaks a hard constraint is dominated by all that comply, so it has no say in how those are ranked.
        """
        keys: list[tuple[float, ...]] = [(self.violation(e), 0.0, 0.0) for e in evaluations]
        if len(self.objectives) == 1:
            signs = cost_signs(self.constraints, self.objectives)
            rest = ((-self.scores(e)[0], *costs_of(e, signs)) for e in evaluations)
            keys = [(violation, *more) for (violation, *_), more in zip(keys, rest, strict=True)]
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
        """Return the best evaluation that succeeded and complies; None if there is none.

        Of several objectives it is the best in the first; of one, the cheapest of its ``near_ties``. Architectures that
        were trained repeatedly go before all others, whose single scores are optimistic.
        """
        candidates = proven(e for e in evaluations if self.violation(e) == 0)
        found = self.pareto_front(candidates) if len(self.objectives) > 1 else self.near_ties(candidates)
        return found[0] if found else None

    def near_ties(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Return the complying evaluations that differ from the best by no more than the tolerance, cheapest first.

        Architectures that were trained repeatedly go before all others, whose single scores are optimistic.

        A tolerance that follows from the standard error is only used without soft constraints, which say themselves how
        much of the objective a cost is worth.
        """
        ranked = self.sort(proven(e for e in evaluations if self.violation(e) == 0))
        if not ranked:
            return []
        tolerance = self.tolerance_among(ranked)
        best, signs = self.scores(ranked[0])[0], cost_signs(self.constraints, self.objectives)
        near = [e for e in ranked if best - self.scores(e)[0] <= tolerance]
        return sorted(near, key=lambda e: costs_of(e, signs))

    def tolerance_among(self, ranked: Sequence[Evaluation]) -> float:
        """Return the difference of the first objective up to which evaluations, best first, count as equal."""
        if self.tolerance is not None:
            return self.tolerance
        return noise_among(ranked, self.first.metric) if len(self.hard) == len(self.constraints) else 0.0

    def pareto_front(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Return the complying evaluations that no other dominates, best in the first objective first.

        Of those with equal scores the cheaper is first.
        """
        complying = [e for e in evaluations if self.violation(e) == 0]
        on_front = is_non_dominated([self.scores(e) for e in complying])
        front = [e for e, is_on_front in zip(complying, on_front, strict=True) if is_on_front]
        signs = cost_signs(self.constraints, self.objectives)
        return sorted(front, key=lambda e: (*(-score for score in self.scores(e)), *costs_of(e, signs)))


def _scaled(objective: Objective, value: float, factor: float) -> float:
    """Larger is better; the factor makes it worse whichever sign it has."""
    score = objective.sign * value
    return score * factor if score >= 0 else score / factor
