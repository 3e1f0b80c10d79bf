"""A report as text, 80 columns wide."""

import io
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raynas.core.evaluation import Evaluation
from raynas.views.amounts import amount, epochs
from raynas.views.report import tables
from raynas.views.report.facts import Summary
from raynas.views.report.tables import (
    comparison_table,
    count_rows,
    decisions_of,
    front_metrics,
    front_rows,
    measured_tables,
    metrics_table,
    reference_rows,
)

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
    _heading(f"Best architecture: trial {best.trial}, {epochs(best.fidelity)}, key {best.arch.key}", console)
    _grid(decisions_of(best), console)
    if summary.choice:
        _say(summary.choice, console)
    _print_metrics(summary, best, console)


def _print_metrics(summary: Summary, best: Evaluation, console: Console) -> None:
    """Print the metrics of the best beside those of the baseline and the limits."""
    _heading("Its metrics in the search", console)
    found = metrics_table(summary, best)
    if len(found.titles) == 2:
        _grid([(metric, value) for metric, value in found.rows], console)
        return
    _print_table(found, console)


def _print_measured(summary: Summary, console: Console) -> None:
    """Print the first figures of those that were measured at the end beside the last."""
    for metric, table in measured_tables(summary).items():
        _heading(f"{metric}, measured again at the end", console)
        _print_table(table, console)


def _print_retrained(summary: Summary, console: Console) -> None:
    if summary.retrained is None:
        return
    metrics = summary.retrained
    spent = epochs(metrics.get("epochs", 0))
    _heading(f"The winner, trained to its end for {spent} on all training images", console)
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
    _print_table(comparison_table(summary, comparison), console)
    _say(comparison.verdict, console, style="bold")
    _say("One run of each proves little: repeat both with other values of --seed.", console)


def _print_table(shown: tables.Table, console: Console, styles: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print a table.

    Args:
        shown: the table.
        console: prints it.
        styles: of rows, by their first column.
    """
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for i, title in enumerate(shown.titles):
        table.add_column(f"  {title}" if i == 0 else title, justify="right" if i else "left", no_wrap=True)
    for first, *rest in shown.rows:
        table.add_row(f"  {first}", *rest, style=styles.get(first))
    console.print(table)


def _print_front(summary: Summary, other: str, front: Sequence[Evaluation], console: Console) -> None:
    _heading(f"Pareto front of {summary.goal.first.metric} against {other}", console)
    if not front:
        _say("empty: nothing that was trained to its end meets the constraints", console)
        return
    metrics = front_metrics(summary, other, front)
    rows = [*front_rows(summary, metrics, front[:MAX_ROWS]), *reference_rows(summary, metrics).values()]
    table = tables.Table(titles=("trial", "key", *metrics), rows=tuple(rows))
    _print_table(table, console, {"baseline": "green", "limit": "red"})
    if len(front) > MAX_ROWS:
        _say(f"and {len(front) - MAX_ROWS} more, in summary.json", console)


def _print_counts(summary: Summary, console: Console) -> None:
    _heading("Trials", console)
    _grid(count_rows(summary), console)


def _print_places(summary: Summary, console: Console) -> None:
    """Print paths and commands without any break or cut: they are there to be copied."""
    width = max(15, *map(len, [*summary.files, *summary.commands, ""])) + 2
    for title, places in (("Where everything lies", summary.files), ("What next", summary.commands)):
        if places:
            _heading(title, console)
        for label, place in places.items():
            console.print(Text.assemble((f"  {label:<{width}}", "cyan"), place), soft_wrap=True)


def as_text(summary: Summary, width: int = WIDTH) -> str:
    """Return a summary as plain text."""
    file = io.StringIO()
    render(summary, Console(file=file, width=width))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())
