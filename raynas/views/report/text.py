"""A report as text, 80 columns wide."""

import io
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.metrics import METRICS
from raynas.views.amounts import amount
from raynas.views.report.facts import Summary

MAX_ROWS = 8
"""Number of rows of a front in the text; the JSON file has all of it."""

WIDTH = 80
"""Columns of the text."""


def render(summary: Summary, console: Console) -> None:
    """Print a summary."""
    console.print()
    console.rule(Text(f"Summary: {summary.title}", overflow="ellipsis"), align="left")
    if summary.interrupted:
        _heading("Interrupted: what follows is what the search found so far", console)
    _print_best(summary, console)
    _print_measured(summary, console)
    _print_retrained(summary, console)
    _print_comparison(summary, console)
    for cost, front in summary.fronts.items():
        _print_front(summary, cost, front, console)
    _print_counts(summary, console)
    if summary.notes:
        _heading("Notes", console)
    for note in summary.notes:
        _say(note, console)
    _print_places(summary, console)


def _heading(text: str, console: Console) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _say(text: str, console: Console, style: str = "") -> None:
    console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))


def _grid(rows: Iterable[tuple[str, str]], console: Console, label_width: int = 14) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=label_width, style="cyan")
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(Text(f"  {label}"), Text(text))
    console.print(grid)


def _print_best(summary: Summary, console: Console) -> None:
    if summary.best is None:
        _heading("No architecture was found", console)
        _say(summary.why_none, console)
        return
    best = summary.best
    _heading(f"Best architecture: trial {best.trial}, {best.fidelity} epochs, key {best.arch.key}", console)
    rows = readable(best.arch)
    rows += [(name, f"{value}") for name, value in best.hyperparameters.items()]
    _grid(rows, console)
    _print_metrics(summary, best, console)


def _print_metrics(summary: Summary, best: Evaluation, console: Console) -> None:
    """Print the metrics of the best beside those of the baseline and the limits."""
    baseline, limits = summary.goal.baseline, summary.limits
    _heading("Its metrics in the search", console)
    shown = dict.fromkeys([*summary.goal.names, *METRICS, *best.metrics])
    columns: dict[str, dict[str, str]] = {
        "best": {m: amount(m, value, summary.metrics) for m, value in best.metrics.items()},
        "baseline": {m: amount(m, value, summary.metrics) for m, value in baseline.items()},
        "limit": limits,
    }
    filled = {title: column for title, column in columns.items() if column}
    if len(filled) == 1:
        _grid([(m, filled["best"][m]) for m in shown if m in best.metrics], console)
        return
    table = _table("", *filled)
    for metric in shown:
        if any(metric in column for column in filled.values()):
            table.add_row(f"  {metric}", *(column.get(metric, "") for column in filled.values()))
    console.print(table)


def _print_measured(summary: Summary, console: Console) -> None:
    """Print the first figures of those that were measured at the end beside the last."""
    for metric in dict.fromkeys(name for e in summary.measured for name in e.first):
        _heading(f"{metric}, measured again at the end", console)
        table = _table("trial", "key", "in the search", "at the end", "change", "")
        for e in summary.measured:
            if metric in e.first:
                first, last = e.first[metric], e.metrics[metric]
                change = f"{last / first - 1:+.1%}" if first else ""
                broken = any(c.metric == metric and c.violation(e.metrics) for c in summary.goal.hard)
                table.add_row(
                    f"  {e.trial}",
                    e.arch.key,
                    *(amount(metric, value, summary.metrics) for value in (first, last)),
                    change,
                    "breaks the limit" if broken else "",
                )
        console.print(table)


def _print_retrained(summary: Summary, console: Console) -> None:
    if summary.retrained is None:
        return
    metrics = summary.retrained
    epochs = f"{metrics.get('epochs', 0):g}"
    _heading(f"The winner, trained to its end for {epochs} epochs on all training images", console)
    _grid([(m, amount(m, metrics[m])) for m in ("test_accuracy", "test_loss") if m in metrics], console)
    _say(
        "The search never saw the test images: this is the figure to quote. The validation accuracy above is "
        "optimistic, because the winner was chosen by it.",
        console,
    )


def _print_comparison(summary: Summary, console: Console) -> None:
    comparison = summary.comparison
    if comparison is None:
        return
    _heading(f"Against random search with {comparison.budget}", console)
    table = _table("", "trials", "epochs trained", f"best {comparison.metric}")
    for name, trials, epochs, value in (
        ("this search", comparison.n_trials, comparison.epochs, comparison.found),
        ("random", comparison.n_random_trials, comparison.random_epochs, comparison.random),
    ):
        table.add_row(
            f"  {name}",
            str(trials),
            str(epochs),
            "none" if value is None else amount(comparison.metric, value, summary.metrics),
        )
    console.print(table)
    _say(comparison.verdict, console, style="bold")
    _say("One run of each proves little: repeat both with other values of --seed.", console)


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for i, title in enumerate(titles):
        table.add_column(f"  {title}" if i == 0 else title, justify="right" if i else "left", no_wrap=True)
    return table


def _print_front(summary: Summary, other: str, front: Sequence[Evaluation], console: Console) -> None:
    first, baseline, limits = summary.goal.first.metric, summary.goal.baseline, summary.limits
    measured = {name for e in front for name in e.metrics}
    metrics = [m for m in dict.fromkeys([first, other, "latency_ms", "params"]) if m in measured]
    _heading(f"Pareto front of {first} against {other}", console)
    if not front:
        _say("empty: nothing that was trained to its end meets the constraints", console)
        return
    table = _table("trial", "key", *metrics)
    for e in front[:MAX_ROWS]:
        table.add_row(f"  {e.trial}", e.arch.key, *_amounts(e.metrics, metrics, summary))
    if baseline:
        table.add_row("  baseline", "", *_amounts(baseline, metrics, summary), style="green")
    if limits.keys() & set(metrics):
        table.add_row("  limit", "", *(limits.get(metric, "") for metric in metrics), style="red")
    console.print(table)
    if len(front) > MAX_ROWS:
        _say(f"and {len(front) - MAX_ROWS} more, in summary.json", console)


def _amounts(values: Mapping[str, float], metrics: Sequence[str], summary: Summary) -> list[str]:
    return [amount(m, values[m], summary.metrics) if m in values else "" for m in metrics]


def _print_counts(summary: Summary, console: Console) -> None:
    _heading("Trials", console)
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
    _grid(rows, console)


def _print_places(summary: Summary, console: Console) -> None:
    """Print paths and commands without any break or cut: they are there to be copied."""
    for title, places in (("Where everything lies", summary.files), ("What next", summary.commands)):
        if places:
            _heading(title, console)
        for label, place in places.items():
            console.print(Text.assemble((f"  {label:<17}", "cyan"), place), soft_wrap=True)


def as_text(summary: Summary, width: int = WIDTH) -> str:
    """Return a summary as plain text."""
    file = io.StringIO()
    render(summary, Console(file=file, width=width))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def readable(arch: Architecture) -> list[tuple[str, str]]:
    """Return decisions in lines, one for each part of the network: ``("layers.0", "op conv, filters 32")``."""
    lines: dict[str, list[str]] = {}
    for name, option in arch.items():
        part, _, decision = name.rpartition(".")
        lines.setdefault(part or decision, []).append(f"{decision} {option}" if part else str(option))
    return [(part, ", ".join(options)) for part, options in lines.items()]
