"""The tables and sentences of a compression, which every form of its report shows."""

from collections.abc import Mapping, Sequence

from raynas.analysis import DecisionWorth, known_metrics
from raynas.compressing.result import Compressed
from raynas.core.evaluation import Evaluation
from raynas.views.amounts import amount, title_of
from raynas.views.report.tables import Table

SHOWN = (
    "divergence",
    "agreement",
    "accuracy",
    "loss",
    "macs",
    "params",
    "latency_ms",
    "size_mb",
    "inference_memory_mb",
)
"""Metrics of the table, where they are known, after those that the goal names."""


def state(found: Compressed) -> str:
    """Say how far the compression has come."""
    if found.candidates is None:
        at = found.funnel.stages[-1]
        return f"interrupted in stage {at.number} of {at.n_stages}; the same call continues"
    return "interrupted; the same call continues" if found.interrupted else "ended"


def members_table(found: Compressed, best: Evaluation) -> Table:
    """Return the metrics of the given model, the result, and what it is compared with, a column each."""
    columns: dict[str, Mapping[str, float]] = {"given": {"divergence": 0.0, "agreement": 1.0, **found.given}}
    columns["result"] = best.metrics
    candidate = found.best_candidate
    compared = {"best candidate": candidate if candidate != best else None, **others(found)}
    columns |= {name: e.metrics for name, e in compared.items() if e is not None}
    known = known_metrics(found.goal)
    names = [n for n in dict.fromkeys([*found.goal.asked, *SHOWN]) if n in best.metrics]
    rows = (
        (title_of(n, known), *(amount(n, values[n], known) if n in values else "" for values in columns.values()))
        for n in names
    )
    return Table(titles=("", *columns), rows=tuple(rows))


def tested(found: Compressed) -> list[str]:
    """Return a line for each network that was tested."""
    known = known_metrics(found.goal)
    lines = []
    for name, metrics in found.on_test.items():
        shown = ", ".join(f"{title_of(n, known)} {amount(n, v, known)}" for n, v in metrics.items())
        lines.append(f"On the test split, {name}: {shown}.")
    return lines


def others(found: Compressed) -> dict[str, Evaluation | None]:
    """Return the members that the best candidate is compared with, by what they are."""
    random = found.random
    uniform = {"uniform width": found.of_uniform_width} if found.uniform else {}
    return {**uniform, **({f"best of {len(random)} random": random[0]} if random else {})}


def verdicts(found: Compressed) -> list[str]:
    """Say how the best candidate compares with members that had as many epochs each."""
    first, candidate = found.goal.first, found.best_candidate
    told = []
    for name, other in others(found).items():
        if candidate is None or other is None:
            continue
        gap = first.sign * (candidate.metrics[first.metric] - other.metrics[first.metric])
        side = "better than" if gap > 0 else "NOT better than" if gap < 0 else "equal to"
        by = f" by {abs(gap):.4g} {first.metric}" if gap else ""
        told.append(f"The best candidate is {side} {name}{by}, at {found.recovery.epochs} epochs each; one training.")
    return told


def compared_scores(found: Compressed) -> list[tuple[str, list[DecisionWorth]]]:
    """Return the worth of the scores before recovery, by what they are compared with."""
    n, metric = found.recovery.epochs, found.goal.first.metric
    parts = {
        f"Scores before recovery against {metric} after {n} epochs of it": found.worth(),
        "The same after one epoch, all candidates included": found.worth_early() if n > 1 else [],
    }
    return [(f"{title} ({worth[0].spearman.n} members)", worth) for title, worth in parts.items() if worth]


def worth_table(worth: Sequence[DecisionWorth], found: Compressed) -> Table:
    """Return a line for each score."""
    rows = (
        (
            each.name,
            str(each.spearman).partition(" (")[0],
            "" if each.kendall is None else f"{each.kendall:+.2f}",
            f"{each.precision:.0%}",
            f"{each.regret:.4g}",
        )
        for each in worth
    )
    head = ("score", "Spearman", "Kendall", f"precision at {worth[0].k}", f"regret in {found.goal.first.metric}")
    return Table(titles=head, rows=tuple(rows))


def by_chance(worth: Sequence[DecisionWorth]) -> str:
    """Say what a score that tells nothing would have."""
    share = worth[0].k / worth[0].spearman.n
    return f"A random choice has a precision of {share:.0%} and a regret of {worth[0].chance:.4g} on average."


def measured_limits(found: Compressed) -> str:
    """Say what the exported network has of what is limited."""
    known = known_metrics(found.goal)
    met = (f"{limit}: {amount(limit.split()[0], value, known)}" for limit, value in found.limits_met.items())
    return f"Measured on the network that was exported: {'; '.join(met)}."
