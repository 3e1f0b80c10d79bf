"""Costs of the members of a converted space before any training, and whether limits on them can be met."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raynas.core.architecture import Architecture, Option
from raynas.core.constraint import Constraint
from raynas.core.decision import Decision
from raynas.core.metric import Metric
from raynas.errors import did_you_mean
from raynas.metrics import Measurer
from raynas.metrics.table import COUNTED
from raynas.views.amounts import amount, title_of
from raynas.views.text_table import text_table

Answer = Literal["yes", "no", "unlikely", "unknown"]

SHOWN = (*COUNTED, "activations", "inference_memory_mb", "size_mb", "latency_ms")
"""Metrics that are measured of every member in a profile."""

SHARES = {"smallest": 0.0, "middle": 0.5, "largest": 1.0}
"""The members of a profile: the rank of their options among those of each decision, as a share."""


@dataclass(frozen=True)
class Verdict:
    """Answer to the question if a limit can be met.

    Args:
        limit: the limit as it was given.
        answer: "yes" and "no" are certain; "unlikely" if the member that should be best breaks it; "unknown" if only a
            training can tell.
        reason: the evidence.
    """

    limit: str
    answer: Answer
    reason: str

    def __str__(self) -> str:
        return f"{self.limit}: {self.answer}, {self.reason}"


@dataclass(frozen=True)
class Profile:
    """The span of a converted space.

    Args:
        title: class of the given model.
        n_members: number of members.
        members: metrics of the members "smallest", "middle" and "largest", by name.
        verdicts: one for each limit, and one for all together where there are several.
        metrics: the table of metrics, for units.
    """

    title: str
    n_members: float
    members: Mapping[str, Mapping[str, float]]
    verdicts: Sequence[Verdict]
    metrics: Mapping[str, Metric]

    @property
    def can_be_met(self) -> bool:
        """False if a limit certainly cannot be met, or all together cannot."""
        return all(verdict.answer != "no" for verdict in self.verdicts)

    def __str__(self) -> str:
        names = list(next(iter(self.members.values())))
        rows = [
            [member, *(amount(name, values[name], self.metrics) for name in names)]
            for member, values in self.members.items()
        ]
        lines = text_table(("member", *(title_of(name, self.metrics) for name in names)), rows)
        limits = [f"  {verdict}" for verdict in self.verdicts]
        heading = f"{self.title}: {members(self.n_members)}, untrained; latency of one example on this machine"
        question = ["Can the limits be met?"] if limits else []
        return "\n".join([heading, *(f"  {line}" for line in lines), *question, *limits])


def members(n: float) -> str:
    """Return a number of members for people."""
    return f"{n} members" if n < 1e6 else f"{n:.1e} members"


class Profiler:
    """Measures the members of a converted space.

    The number of parameters and multiply-adds grows with every width and depth, so the smallest and the largest member
    bound those of all others, and a limit on them can be met if one of these two meets it.

    Args:
        decisions: of the space; all options are numbers.
        measurer: measures its members.
        metrics: the table of metrics.
    """

    def __init__(self, decisions: Sequence[Decision], measurer: Measurer, metrics: Mapping[str, Metric]) -> None:
        self.decisions, self.measurer, self.metrics = decisions, measurer, metrics
        self.members = {name: member(decisions, share) for name, share in SHARES.items()}

    def measured(self, constraints: Sequence[Constraint]) -> dict[str, dict[str, float]]:
        """Return the metrics of the three members: those that are always shown, and those that are limited.

        Raises:
            RaynasError: if latency cannot be measured on the device.
        """
        shown = [self.metrics[name] for name in SHOWN]
        self.measurer.functions(shown)
        limited = dict.fromkeys(c.metric for c in constraints if c.metric in self.metrics and c.metric not in SHOWN)
        wanted = [*shown, *(self.metrics[name] for name in limited if self.measurer.offers(self.metrics[name]))]
        return {name: self.measurer.values(wanted, arch) for name, arch in self.members.items()}

    def verdicts(self, constraints: Sequence[Constraint], values: Mapping[str, Mapping[str, float]]) -> list[Verdict]:
        """Answer for each limit whether it can be met, and for several whether they can be together.

        Args:
            constraints: the limits; relative ones refer to the largest member.
            values: see ``measured``.
        """
        absolute = [constraint.against(values["largest"]) for constraint in constraints]
        found = [self._verdict(given, limit, values) for given, limit in zip(constraints, absolute, strict=True)]
        counted = [limit for limit in absolute if limit.metric in COUNTED]
        if len(found) > 1:
            found.append(self._together(found, absolute, counted, values))
        return found

    def _verdict(self, given: Constraint, limit: Constraint, values: Mapping[str, Mapping[str, float]]) -> Verdict:
        best = "smallest" if limit.is_upper else "largest"
        if limit.metric not in values[best]:
            hint = "" if limit.metric in self.metrics else did_you_mean(limit.metric, self.metrics)
            return Verdict(str(given), "unknown", f"only a training gives {limit.metric}{hint}")
        told = f"{limit} here, and " if given.relative else ""
        good = [name for name in (best, *values) if _meets(values[name], [limit])]
        witness = (good or [best])[0]
        has = f"the {witness} member has {self._figure(limit.metric, values[witness][limit.metric])}"
        if good:
            return Verdict(str(given), "yes", told + has)
        if limit.metric in COUNTED:
            return Verdict(str(given), "no", f"{told}{has}, and no other has {'less' if limit.is_upper else 'more'}")
        return Verdict(str(given), "unlikely", f"{told}{has}, and the others measured break it too")

    def _figure(self, metric: str, value: float) -> str:
        return f"{value:,.0f}" if metric in COUNTED else amount(metric, value, self.metrics)

    def _together(
        self,
        found: Sequence[Verdict],
        limits: Sequence[Constraint],
        counted: Sequence[Constraint],
        values: Mapping[str, Mapping[str, float]],
    ) -> Verdict:
        answers = {verdict.answer for verdict in found}
        for answer in ("no", "unlikely", "unknown"):
            if answer in answers:
                return Verdict("all together", answer, "as one of them alone")
        for name, metrics in values.items():
            if _meets(metrics, limits):
                return Verdict("all together", "yes", f"the {name} member meets all")
        if len(counted) == len(limits) and (between := self._between(limits)) is not None:
            return Verdict("all together", "yes", f"a member between has {between}")
        return Verdict("all together", "unknown", "no member that was measured meets all")

    def _between(self, limits: Sequence[Constraint]) -> str | None:
        """Return the costs of a member that meets limits on counted metrics, on a way from the smallest to the largest.

        On a way one option after another grows, and with it all costs, so the last member that meets all upper limits
        is found by bisection; if that breaks a lower limit, no member on this way meets all.
        """
        upper = [limit for limit in limits if limit.is_upper]
        steps = [(d.name, option) for d in self.decisions for option in sorted(d.options, key=float)[1:]]
        for way in (steps, steps[::-1]):
            low, high = 0, len(way)
            while low < high:
                middle = (low + high + 1) // 2
                fits = _meets(self._costs(way[:middle], upper), upper)
                low, high = (middle, high) if fits else (low, middle - 1)
            costs = self._costs(way[:low], limits)
            if _meets(costs, limits):
                return ", ".join(f"{name} {self._figure(name, value)}" for name, value in costs.items())
        return None

    def _costs(self, steps: Sequence[tuple[str, Option]], limits: Sequence[Constraint]) -> Mapping[str, float]:
        metrics = [self.metrics[name] for name in dict.fromkeys(limit.metric for limit in limits)]
        return self.measurer.values(metrics, self._grown(steps))

    def _grown(self, steps: Sequence[tuple[str, Option]]) -> Architecture:
        options = dict(self.members["smallest"])
        for name, option in steps:
            options[name] = max(option, options[name], key=float)
        return Architecture(options)


def _meets(metrics: Mapping[str, float], limits: Sequence[Constraint]) -> bool:
    return not any(limit.violation(metrics) for limit in limits)


def member(decisions: Sequence[Decision], share: float) -> Architecture:
    """Return the member whose options have a rank among those of their decision: 0 for the smallest, 1 the largest.

    A rank between two options is, in turn, the smaller and the larger one.
    """
    options = {}
    for i, decision in enumerate(decisions):
        ranked = sorted(decision.options, key=float)
        options[decision.name] = ranked[math.floor(share * (len(ranked) - 1) + 0.5 * (i % 2))]
    return Architecture(options)
