"""The report of a search: what was found, how it compares with random search, and where everything lies.

``summarise`` collects the facts, ``render`` shows them in 80 columns, ``write`` leaves them as text, JSON and plots.
What one run cannot show is said: a single seed proves no difference, and a validation accuracy that was maximised is
optimistic.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raynas.architecture import Architecture
from raynas.errors import RaynasError
from raynas.objective import DIRECTIONS, Evaluation, Mode, Objective
from raynas.progress import amount
from raynas.result import SearchResult

COSTS = ("latency_ms", "params")
"""What the first objective is traded against in the Pareto fronts of a report."""

MAX_ROWS = 8
"""How much of a front the text shows; the JSON file holds all of it."""

WIDTH = 80
"""Columns of the text."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A search beside random search at equal budget.

    Args:
        metric: the first objective.
        mode: which way it is better.
        found: the search's best value among fully trained, complying architectures; None if there is none.
        random: that of random search.
        n_trials: trials of the search.
        n_random_trials: trials of random search.
        epochs: epochs that all trials of the search trained together.
        random_epochs: those of random search.
    """

    metric: str
    mode: Mode
    found: float | None
    random: float | None
    n_trials: int
    n_random_trials: int
    epochs: int
    random_epochs: int

    @property
    def difference(self) -> float | None:
        """By how much the search is better; negative if it is worse, None where a side has no result."""
        if self.found is None or self.random is None:
            return None
        return (self.found - self.random) * (1 if self.mode == "max" else -1)

    @property
    def verdict(self) -> str:
        """What this one run shows, in a sentence."""
        if self.found is None:
            return "The search has no result, so it is NOT better than random search."
        if self.difference is None:
            return "Random search found nothing that meets the constraints; the search did."
        if self.difference > 0:
            return f"The search is better by {self.difference:.4g} {self.metric}."
        if self.difference == 0:
            return f"The search is NOT better than random search: both reached the same {self.metric}."
        return f"The search is NOT better than random search: it is worse by {-self.difference:.4g} {self.metric}."


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The facts of a report.

    Args:
        title: space, data and strategy in a line.
        objectives: what was searched for, ``mode:metric``.
        constraints: the limits, relative ones resolved.
        best: the best fully trained architecture that meets the constraints; None if there is none.
        why_none: why there is none.
        fronts: Pareto fronts of the first objective against each cost, best in the objective first.
        counts: trials by how they ended, and proposals that cost none.
        feasible_share: share of the different architectures proposed that met the constraints which need no training;
            None without such constraints.
        n_violating: fully trained architectures that broke a constraint.
        ended_because: why the search ended before its number of trials.
        comparison: with random search; None if it was not run.
        retrained: metrics of the winner, trained again to its end; None if it was not.
        notes: what else the reader must know.
        files: what lies where, by what it is.
        commands: what to run next, by what it does.
    """

    title: str
    objectives: tuple[str, ...]
    constraints: tuple[str, ...]
    best: Evaluation | None
    why_none: str = ""
    fronts: Mapping[str, Sequence[Evaluation]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    feasible_share: float | None = None
    n_violating: int = 0
    ended_because: str = ""
    comparison: Comparison | None = None
    retrained: Mapping[str, float] | None = None
    notes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def objective(self) -> Objective:
        """The first objective."""
        return Objective.parse(self.objectives[0])


# --- facts -----------------------------------------------------------------------------------------------------------


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
    """Collect the facts about a search.

    Args:
        result: of the search.
        title: space, data and strategy in a line.
        random: of random search at equal budget.
        retrained: metrics of the winner, trained again to its end.
        notes: what else the reader must know.
        files: what lies where, by what it is.
        commands: what to run next, by what it does.
    """
    best, why_none = best_or_reason(result)
    return Summary(
        title=title,
        objectives=tuple(f"{o.mode}:{o.metric}" for o in result.goal.objectives),
        constraints=tuple(map(str, result.goal.constraints)),
        best=best,
        why_none=why_none,
        fronts=pareto_fronts(result),
        counts=result.counts,
        feasible_share=feasible_share(result),
        n_violating=sum(result.goal.violation(e) > 0 for e in result.full),
        ended_because=result.ended_because,
        comparison=compare(result, random) if random else None,
        retrained=retrained,
        notes=tuple(notes),
        files=dict(files or {}),
        commands=dict(commands or {}),
    )


def best_or_reason(result: SearchResult) -> tuple[Evaluation | None, str]:
    """The winner, or why there is none."""
    try:
        return result.best(), ""
    except RaynasError as error:
        return None, str(error)


def pareto_fronts(result: SearchResult) -> dict[str, list[Evaluation]]:
    """The front of the first objective against each cost that was measured."""
    first = result.goal.first
    measured = {metric for e in result.full for metric in e.metrics}
    costs = [cost for cost in COSTS if cost in measured and cost != first.metric]
    return {cost: result.pareto_front((f"{first.mode}:{first.metric}", f"min:{cost}")) for cost in costs}


def feasible_share(result: SearchResult) -> float | None:
    """Share of the different architectures proposed that met the constraints which need no training."""
    proposed, refused = (len(result.archive.events(event)) for event in ("proposed", "refused"))
    if not result.goal.hard or not proposed + refused:
        return None
    return proposed / (proposed + refused)


def compare(result: SearchResult, random: SearchResult) -> Comparison:
    """A search beside random search."""
    first = result.goal.first
    found, other = (best.metrics[first.metric] if best else None for best in (_best(result), _best(random)))
    return Comparison(
        metric=first.metric,
        mode=first.mode,
        found=found,
        random=other,
        n_trials=len(result.archive.events("proposed")),
        n_random_trials=len(random.archive.events("proposed")),
        epochs=sum(e.fidelity for e in result.evaluations),
        random_epochs=sum(e.fidelity for e in random.evaluations),
    )


def _best(result: SearchResult) -> Evaluation | None:
    """The best in the first objective alone, which is what can be compared as a number."""
    return max(
        (e for e in result.full if result.goal.violation(e) == 0), key=lambda e: result.goal.scores(e)[0], default=None
    )


def readable(arch: Architecture) -> list[tuple[str, str]]:
    """Decisions in lines, those of one part of the network together: ``("layers.0", "op conv, filters 32")``."""
    lines: dict[str, list[str]] = {}
    for name, option in arch.items():
        part, _, decision = name.rpartition(".")
        lines.setdefault(part or decision, []).append(f"{decision} {option}" if part else str(option))
    return [(part, ", ".join(options)) for part, options in lines.items()]


# --- text ------------------------------------------------------------------------------------------------------------


def render(summary: Summary, console: Console) -> None:
    """Print a summary."""
    console.print()
    console.rule(Text(f"Summary: {summary.title}", overflow="ellipsis"), align="left")
    _print_best(summary, console)
    _print_retrained(summary, console)
    _print_comparison(summary, console)
    for cost, front in summary.fronts.items():
        _print_front(summary.objective, cost, front, console)
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
    _heading("Its metrics on the validation images", console)
    order = [*dict.fromkeys([*(o.partition(":")[2] for o in summary.objectives), *DIRECTIONS, *best.metrics])]
    _grid([(m, amount(m, best.metrics[m])) for m in order if m in best.metrics], console)


def _print_retrained(summary: Summary, console: Console) -> None:
    if summary.retrained is None:
        return
    metrics = summary.retrained
    epochs = f"{metrics.get('epochs', 0):g}"
    _heading(f"The winner, trained from scratch for {epochs} epochs on all training images", console)
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
    _heading("Against random search with the same number of trials and early stopping", console)
    table = _table("", "trials", "epochs trained", f"best {comparison.metric}")
    for name, trials, epochs, value in (
        ("this search", comparison.n_trials, comparison.epochs, comparison.found),
        ("random", comparison.n_random_trials, comparison.random_epochs, comparison.random),
    ):
        table.add_row(f"  {name}", str(trials), str(epochs), "none" if value is None else amount(comparison.metric, value))
    console.print(table)
    _say(comparison.verdict, console, style="bold")
    _say("One run of each proves little: repeat both with other values of --seed.", console)


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for i, title in enumerate(titles):
        table.add_column(f"  {title}" if i == 0 else title, justify="right" if i else "left", no_wrap=True)
    return table


def _print_front(objective: Objective, cost: str, front: Sequence[Evaluation], console: Console) -> None:
    metrics = list(dict.fromkeys([objective.metric, cost, *COSTS]))
    _heading(f"Pareto front of {objective.metric} against {cost}", console)
    if not front:
        _say("empty: nothing that was trained to its end meets the constraints", console)
        return
    table = _table("trial", "key", *metrics)
    for e in front[:MAX_ROWS]:
        values = (amount(m, e.metrics[m]) if m in e.metrics else "" for m in metrics)
        table.add_row(f"  {e.trial}", e.arch.key, *values)
    console.print(table)
    if len(front) > MAX_ROWS:
        _say(f"and {len(front) - MAX_ROWS} more, in summary.json", console)


def _print_counts(summary: Summary, console: Console) -> None:
    _heading("Trials", console)
    counts = summary.counts
    rows = [(name, str(counts.get(name, 0))) for name in ("finished", "stopped", "failed")]
    rows[1] = ("stopped", f"{rows[1][1]} (early, to save time)")
    rows.append(("duplicates", f"{counts.get('duplicates', 0)} proposals were known already and cost nothing"))
    if summary.constraints:
        rows.append(("constraints", ", ".join(summary.constraints)))
        rows.append(("refused", f"{counts.get('refused', 0)} architectures broke one before any training"))
        rows.append(("broke one", f"{summary.n_violating} after training"))
    if summary.feasible_share is not None:
        rows.append(("feasible", f"{summary.feasible_share:.1%} of the architectures proposed"))
    if summary.ended_because:
        rows.append(("ended early", summary.ended_because))
    _grid(rows, console)


def _print_places(summary: Summary, console: Console) -> None:
    """Paths and commands are never broken or cut: they are there to be copied."""
    for title, places in (("Where everything lies", summary.files), ("What next", summary.commands)):
        if places:
            _heading(title, console)
        for label, place in places.items():
            console.print(Text.assemble((f"  {label:<15}", "cyan"), place), soft_wrap=True)


# --- files -----------------------------------------------------------------------------------------------------------


def write(summary: Summary, directory: Path, *, points: Mapping[str, Sequence[Evaluation]] | None = None) -> None:
    """Write ``summary.txt``, ``summary.json`` and a plot of each Pareto front.

    Args:
        summary: what to write.
        directory: where; it must exist.
        points: fully trained evaluations to plot besides the fronts, by what to call them.

    Raises:
        RaynasError: if a file cannot be written.
    """
    try:
        (directory / "summary.txt").write_text(as_text(summary), encoding="utf-8")
        (directory / "summary.json").write_text(json.dumps(as_json(summary), indent=2) + "\n", encoding="utf-8")
        for cost, front in summary.fronts.items():
            if front:
                plot_front(summary.objective, cost, front, points or {}, directory / plot_name(cost))
    except OSError as error:
        raise RaynasError(f"cannot write the report to {directory}: {error.strerror}") from None


def as_text(summary: Summary, width: int = WIDTH) -> str:
    """A summary as plain text."""
    file = io.StringIO()
    render(summary, Console(file=file, width=width))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def plot_name(cost: str) -> str:
    """The file of a front's plot."""
    return f"pareto_{cost}.png"


def as_json(summary: Summary) -> dict[str, Any]:
    """A summary as what JSON can hold."""
    comparison = summary.comparison
    return {
        "title": summary.title,
        "objectives": list(summary.objectives),
        "constraints": list(summary.constraints),
        "best": summary.best and _evaluation(summary.best),
        "why_none": summary.why_none,
        "fronts": {cost: [_evaluation(e) for e in front] for cost, front in summary.fronts.items()},
        "counts": dict(summary.counts),
        "feasible_share": summary.feasible_share,
        "violating": summary.n_violating,
        "ended_because": summary.ended_because,
        "comparison": comparison
        and {**asdict(comparison), "difference": comparison.difference, "verdict": comparison.verdict},
        "retrained": None if summary.retrained is None else dict(summary.retrained),
        "notes": list(summary.notes),
        "files": dict(summary.files),
        "commands": dict(summary.commands),
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "trial": evaluation.trial,
        "key": evaluation.arch.key,
        "architecture": evaluation.arch.to_config(),
        "hyperparameters": dict(evaluation.hyperparameters),
        "metrics": dict(evaluation.metrics),
        "epochs": evaluation.fidelity,
    }


def plot_front(
    objective: Objective,
    cost: str,
    front: Sequence[Evaluation],
    points: Mapping[str, Sequence[Evaluation]],
    path: Path,
) -> None:
    """Draw a Pareto front among all fully trained architectures.

    Args:
        objective: the vertical axis.
        cost: the horizontal axis, logarithmic.
        front: the front.
        points: evaluations to show besides it, by what to call them.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for (label, evaluations), marker in zip(points.items(), "o^sv", strict=False):
        x, y = _coordinates(evaluations, cost, objective)
        axes.scatter(x, y, marker=marker, alpha=0.45, label=f"{label} ({len(x)} fully trained)")
    x, y = _coordinates(sorted(front, key=lambda e: e.metrics[cost]), cost, objective)
    axes.plot(x, y, "k.-", drawstyle="steps-post", label="Pareto front")
    if min(x) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(cost)
    axes.set_ylabel(f"{objective.metric} (validation)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def _coordinates(evaluations: Iterable[Evaluation], cost: str, objective: Objective) -> tuple[list[float], list[float]]:
    shown = [e.metrics for e in evaluations if cost in e.metrics and objective.metric in e.metrics]
    return [m[cost] for m in shown], [m[objective.metric] for m in shown]
