"""The facts of a report as data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raynas.analysis import compared, known_metrics
from raynas.core.beside import beside
from raynas.core.evaluation import Evaluation
from raynas.core.final_metrics import limits_at_end, unmeasured
from raynas.core.goal import Goal
from raynas.core.measurement import provenance_of
from raynas.core.metric import Metric, Mode
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.views.amounts import DOUBT, amount
from raynas.views.report.noise import choice, margin, repeated


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A search beside random search at equal budget.

    Args:
        metric: the first objective.
        mode: whether more or less of it is better.
        found: the search's best value among fully trained, complying architectures; None if there is none.
        random: that of random search.
        n_trials: trials of the search.
        n_random_trials: trials of random search.
        epochs: epochs that all trials of the search trained together.
        random_epochs: those of random search.
        budget: the quantity that both have the same of.
        margin: half of the 95 % interval of the difference, by the noise of either score; None if that is not known.
    """

    metric: str
    mode: Mode
    found: float | None
    random: float | None
    n_trials: int
    n_random_trials: int
    epochs: int
    random_epochs: int
    budget: str = "the same number of trials and early stopping"
    margin: float | None = None

    @property
    def difference(self) -> float | None:
        """Advantage of the search; negative if it is worse, None where a side has no result."""
        if self.found is None or self.random is None:
            return None
        return (self.found - self.random) * (1 if self.mode == "max" else -1)

    @property
    def verdict(self) -> str:
        """Conclusion from this one run, in a sentence."""
        if self.found is None:
            return "The search has no result, so it is NOT better than random search."
        if self.difference is None:
            return "Random search found nothing that meets the constraints; the search did."
        if self.difference == 0:
            return f"The search is NOT better than random search: both reached the same {self.metric}."
        by, ahead = f"{abs(self.difference):.4g} {self.metric}", self.difference > 0
        if self.margin is None:
            unsure = "; the noise of a score is not known, so this may be chance"
            return (
                f"The search is {'better' if ahead else 'NOT better than random search: it is worse'} by {by}{unsure}."
            )
        interval = f"95 % interval {self.difference - self.margin:+.3g} to {self.difference + self.margin:+.3g}"
        if abs(self.difference) <= self.margin:
            side = "ahead of" if ahead else "behind"
            return f"Inside the noise: the search is {side} random search by {by} ({interval}), which chance explains."
        if ahead:
            return f"The search is better by {by} ({interval})."
        return f"The search is NOT better than random search: it is worse by {by} ({interval})."


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The facts of a report.

    Args:
        title: space, data and strategy in a line.
        goal: what was searched for, relative limits resolved, and the baseline's figures.
        best: the best fully trained architecture that meets the constraints, of several objectives in the first;
            None if there is none.
        why_none: why there is none.
        choice: why it was chosen among trials of equal, or nearly equal, score; "" if it was the only one.
        fronts: Pareto fronts of the first objective against other metrics, best in the objective first.
        counts: trials by how they ended, and proposals that cost none.
        feasible_share: share of the different architectures proposed that met the constraints which need no training;
            None without such constraints.
        n_violating: fully trained architectures that broke a constraint.
        ended_because: why the search ended before its number of trials.
        interrupted: whether it was interrupted, and can continue.
        comparison: with random search; None if it was not run.
        measured: evaluations that were measured at the end, in the order of their trials.
        retrained: metrics of the winner, trained again to its end; None if it was not.
        notes: remarks that the reader must know.
        files: paths, by the content of the file.
        commands: commands to run next, by their purpose.
    """

    title: str
    goal: Goal
    best: Evaluation | None
    why_none: str = ""
    choice: str = ""
    fronts: Mapping[str, Sequence[Evaluation]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    feasible_share: float | None = None
    n_violating: int = 0
    ended_because: str = ""
    interrupted: bool = False
    comparison: Comparison | None = None
    measured: Sequence[Evaluation] = ()
    retrained: Mapping[str, float] | None = None
    notes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics that are known, by name."""
        return known_metrics(self.goal)

    @property
    def has_only_failures(self) -> bool:
        """True if trials ended, and each of them failed."""
        ended = [status for status in ("finished", "stopped", "failed") if self.counts.get(status)]
        return ended == ["failed"]

    @property
    def limits(self) -> dict[str, str]:
        """The limits of each metric that has any, relative ones resolved, such as "<= 5"."""
        limits: dict[str, list[str]] = {}
        for constraint in self.goal.constraints:
            limits.setdefault(constraint.metric, []).append(str(constraint).removeprefix(constraint.metric).strip())
        return {metric: ", ".join(texts) for metric, texts in limits.items()}


def summarise(
    result: SearchResult,
    *,
    title: str,
    random: SearchResult | None = None,
    retrained: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    commands: Mapping[str, str] | None = None,
) -> Summary:
    """Collect the facts about a search; what random search found is a candidate too, as it was paid for.

    Args:
        result: of the search.
        title: space, data and strategy in a line.
        random: of random search at equal budget.
        retrained: metrics of the winner, trained again to its end.
        notes: remarks that the reader must know.
        files: paths, by the content of the file.
        commands: commands to run next, by their purpose.
    """
    if random:
        result = beside(result, random)
    best, why_none = best_or_reason(result)
    return Summary(
        title=title,
        goal=result.goal,
        best=best,
        why_none=why_none,
        choice=choice(result),
        fronts=pareto_fronts(result),
        counts=result.counts,
        feasible_share=feasible_share(result),
        n_violating=sum(result.goal.violation(e) > 0 for e in result.full),
        ended_because=result.ended_because,
        interrupted=result.interrupted,
        comparison=compare(result, random) if random else None,
        measured=sorted((e for e in result.full if e.measured_first), key=lambda e: e.trial),
        retrained=retrained,
        notes=(
            *notes,
            *repeated(result),
            *_unresolved(result.goal),
            *broken_at_end(result),
            *_not_measured(result),
            *_doubts(result),
        ),
        files=dict(files or {}),
        commands=dict(commands or {}),
    )


def best_or_reason(result: SearchResult) -> tuple[Evaluation | None, str]:
    """Return the winner, or why there is none."""
    try:
        return result.best(), ""
    except RaynasError as error:
        return None, str(error)


def pareto_fronts(result: SearchResult) -> dict[str, list[Evaluation]]:
    """Return the front of the first objective against each other metric that was measured; see ``compared``."""
    first, measured = result.goal.first, {metric for e in result.full for metric in e.metrics}
    return {
        other.metric: result.pareto_front((f"{first.mode}:{first.metric}", f"{other.mode}:{other.metric}"))
        for other in compared(result.goal)
        if other.metric in measured
    }


def _unresolved(goal: Goal) -> list[str]:
    """Return a note on each relative limit that could not be applied."""
    return [
        f"The limit {c} was not applied: the baseline has no {c.metric}, as its trial did not end, or failed."
        for c in goal.constraints
        if c.relative
    ]


def broken_at_end(result: SearchResult) -> list[str]:
    """Return a note for each hard limit that networks broke only when they were measured at the end."""
    known, broken = known_metrics(result.goal), result.goal.sort(e.as_searched for e in result.broken_at_end)
    measured, (winner, _) = {e.trial: e.metrics for e in result.broken_at_end}, best_or_reason(result)
    notes = []
    for c in limits_at_end(result.goal):
        over = [e for e in broken if c.violation(measured[e.trial])]
        if over:
            before, after = (amount(c.metric, m[c.metric], known) for m in (over[0].metrics, measured[over[0].trial]))
            count = "1 network" if len(over) == 1 else f"{len(over)} networks"
            notes.append(
                f"{count} met {c.metric} {c.op} {amount(c.metric, c.limit, known)} in the search and broke it when "
                f"measured at the end, so {'the next best is the' if winner else 'there is no'} result; the best of "
                f"them, trial {over[0].trial}, had {before} and then {after}."
            )
    return notes


def _not_measured(result: SearchResult) -> list[str]:
    """Return a note on each limit that only an earlier figure of the winner meets."""
    best, _ = best_or_reason(result)
    return [
        f"The limit {c} is met by a figure of the winner that was not measured again at the end of the search."
        for c in limits_at_end(result.goal)
        if best and not result.interrupted and c.metric in unmeasured(result.goal, best)
    ]


def _doubts(result: SearchResult) -> list[str]:
    """Return a note for each metric of which some figures are unreliable."""
    reasons: dict[str, list[str]] = {}
    for e in result.evaluations:
        for name, origin in e.provenance.items():
            if origin.doubt:
                reasons.setdefault(name, []).append(f"that of trial {e.trial}: {origin.doubt}")
    n_known = Counter(name for e in result.evaluations for name in e.metrics)
    baseline, known = result.goal.baseline, known_metrics(result.goal)
    return [
        f"The baseline's {name}, {amount(name, baseline[name], known)}, is unreliable, and so is any limit relative to "
        f"it: {origin.doubt}."
        for name, origin in provenance_of(baseline).items()
        if origin.doubt
    ] + [
        f"{len(found)} of {n_known[name]} figures of {name} are unreliable, marked {DOUBT.strip()}; {found[-1]}."
        for name, found in reasons.items()
    ]


def feasible_share(result: SearchResult) -> float | None:
    """Return the share of proposed architectures that met the constraints which need no training."""
    proposed, refused = (len(result.archive.events(event)) for event in ("proposed", "refused"))
    if not result.goal.hard or not proposed + refused:
        return None
    return proposed / (proposed + refused)


def compare(result: SearchResult, random: SearchResult) -> Comparison:
    """Return the comparison of a search with random search."""
    first = result.goal.first
    best, other = _best(result), _best(random)
    return Comparison(
        metric=first.metric,
        mode=first.mode,
        found=best.metrics[first.metric] if best else None,
        random=other.metrics[first.metric] if other else None,
        margin=margin(first.metric, best, other),
        n_trials=len(result.archive.events("proposed")),
        n_random_trials=len(random.archive.events("proposed")),
        epochs=sum(e.fidelity for e in result.evaluations),
        random_epochs=sum(e.fidelity for e in random.evaluations),
    )


def _best(result: SearchResult) -> Evaluation | None:
    """Return the best in the first objective alone, which can be compared as a number, by its first training."""
    once = (e.as_trained_once for e in result.eligible)
    complying = (e for e in once if result.goal.violation(e) == 0)
    return max(complying, key=lambda e: result.goal.scores(e)[0], default=None)
