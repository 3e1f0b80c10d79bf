"""The tables of a report as texts, which every form of it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.metrics import METRICS
from raynas.views.amounts import amount
from raynas.views.report.facts import Comparison, Summary


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Args:
        titles: of the columns; the first may be empty.
        rows: ``(n, len(titles))``; the first column is text, the others are numbers.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def decisions_of(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return decisions and hyperparameters in lines."""
    return readable(evaluation.arch) + [(name, f"{value}") for name, value in evaluation.hyperparameters.items()]


def readable(arch: Architecture) -> list[tuple[str, str]]:
    """Return decisions in lines, one for each part of the network: ``("layers.0", "op conv, filters 32")``."""
    lines: dict[str, list[str]] = {}
    for name, option in arch.items():
        part, _, decision = name.rpartition(".")
        lines.setdefault(part or decision, []).append(f"{decision} {option}" if part else str(option))
    return [(part, ", ".join(options)) for part, options in lines.items()]


def metrics_table(summary: Summary, best: Evaluation) -> Table:
    """Return the metrics of the best beside those of the baseline and the limits, as far as there are any."""
    shown = dict.fromkeys([*summary.goal.names, *METRICS, *best.metrics])
    columns: dict[str, dict[str, str]] = {
        "best": {m: amount(m, value, summary.metrics) for m, value in best.metrics.items()},
        "baseline": {m: amount(m, value, summary.metrics) for m, value in summary.goal.baseline.items()},
        "limit": summary.limits,
    }
    filled = {title: column for title, column in columns.items() if column}
    rows = (
        (metric, *(column.get(metric, "") for column in filled.values()))
        for metric in shown
        if any(metric in column for column in filled.values())
    )
    return Table(titles=("", *filled), rows=tuple(rows))


def measured_tables(summary: Summary) -> dict[str, Table]:
    """Return the first figures of those that were measured at the end beside the last, by metric."""
    names = dict.fromkeys(name for e in summary.measured for name in e.measured_first)
    return {name: _measured(summary, name) for name in names}


def _measured(summary: Summary, metric: str) -> Table:
    rows = []
    for e in summary.measured:
        if metric in e.measured_first:
            first, last = e.measured_first[metric], e.metrics[metric]
            change = f"{last / first - 1:+.1%}" if first else ""
            broken = any(c.metric == metric and c.violation(e.metrics) for c in summary.goal.hard)
            figures = (amount(metric, value, summary.metrics) for value in (first, last))
            rows.append((e.trial, e.arch.key, *figures, change, "breaks the limit" if broken else ""))
    return Table(titles=("trial", "key", "in the search", "at the end", "change", ""), rows=tuple(rows))


def comparison_table(summary: Summary, comparison: Comparison) -> Table:
    """Return the search beside random search."""
    rows = (
        ("this search", comparison.n_trials, comparison.epochs, comparison.found),
        ("random", comparison.n_random_trials, comparison.random_epochs, comparison.random),
    )
    found = (
        (name, str(trials), str(epochs), "none" if value is None else amount(comparison.metric, value, summary.metrics))
        for name, trials, epochs, value in rows
    )
    return Table(titles=("", "trials", "epochs trained", f"best {comparison.metric}"), rows=tuple(found))


def front_metrics(summary: Summary, other: str, front: Sequence[Evaluation]) -> list[str]:
    """Return the metrics that the table of a front shows."""
    measured = {name for e in front for name in e.metrics}
    names = dict.fromkeys([summary.goal.first.metric, other, "latency_ms", "params"])
    return [metric for metric in names if metric in measured]


def front_rows(summary: Summary, metrics: Sequence[str], front: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """Return a row for each network of a front: trial, key, metrics."""
    return [(e.trial, e.arch.key, *amounts(e.metrics, metrics, summary)) for e in front]


def reference_rows(summary: Summary, metrics: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the rows of the baseline and of the limits below a front, as far as there are any."""
    rows = {"baseline": amounts(summary.goal.baseline, metrics, summary)} if summary.goal.baseline else {}
    limits = summary.limits
    rows |= {"limit": [limits.get(metric, "") for metric in metrics]} if limits.keys() & set(metrics) else {}
    return {name: (name, "", *row) for name, row in rows.items()}


def amounts(values: Mapping[str, float], metrics: Sequence[str], summary: Summary) -> list[str]:
    """Return values for people, "" where one is missing."""
    return [amount(m, values[m], summary.metrics) if m in values else "" for m in metrics]


def count_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return the ends of trials, and of proposals that became none."""
    counts = summary.counts
    rows = [(name, str(counts.get(name, 0))) for name in ("finished", "stopped", "failed")]
    rows[1] = ("stopped", f"{rows[1][1]} (early, to save time)")
    rows.append(("duplicates", f"{counts.get('duplicates', 0)} proposals were known already and cost nothing"))
    if summary.goal.constraints:
        rows.append(("constraints", ", ".join(map(str, summary.goal.constraints))))
        rows.append(("refused", f"{counts.get('refused', 0)} architectures broke one before any training"))
        if n_repaired := counts.get("repaired", 0):
            rows.append(("repaired", f"{n_repaired} proposals were changed to meet the constraints"))
        rows.append(("broke one", f"{summary.n_violating} after training"))
    if summary.feasible_share is not None:
        rows.append(("feasible", f"{summary.feasible_share:.1%} of the architectures proposed"))
    if summary.ended_because:
        rows.append(("ended early", summary.ended_because))
    return rows
