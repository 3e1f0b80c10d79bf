"""A funnel as lines, as a table, and as files: funnel.txt, funnel.json, funnel.png."""

import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from raynas.core.goal import Goal
from raynas.errors import RaynasError
from raynas.files.replacing import write_whole
from raynas.funnels.result import FunnelResult, StageResult
from raynas.funnels.stage import FunnelStage
from raynas.strategies import Strategy
from raynas.views.amounts import amount, duration, epochs

TEXT, JSON, PLOT = "funnel.txt", "funnel.json", "funnel.png"

WIDE = 100
"""Values that differ by more than this factor are drawn on a logarithmic axis."""

CAUTION = (
    "Rank correlations are of those that came through alone, which were chosen by the earlier score: over all "
    "architectures it may tell more."
)


def before(number: int, stages: Sequence[FunnelStage], goal: Goal, n_candidates: int, strategy: Strategy) -> str:
    """Announce a stage in one line."""
    stage = stages[number - 1]
    who = f"{stage.n} by {type(strategy).__name__}" if number == 1 else f"{n_candidates} architectures"
    fewer = f" (up to {stage.n} were asked for)" if number > 1 and n_candidates < stage.n else ""
    ranked = ", ".join(f"{o.mode}:{o.metric}" for o in goal.objectives)
    on = _going_on(stages[number]) if number < len(stages) else "the best is the result"
    return f"Stage {number} of {len(stages)}, {stage.title}: {who}{fewer}, ranked by {ranked}; {on}"


def _going_on(following: FunnelStage) -> str:
    drawn = f", and {following.n_random} drawn at random" if following.n_random else ""
    return f"the best {following.n - following.n_random} go on{drawn}"


def after(at: StageResult) -> str:
    """Summarize a finished stage in one line, or two with the rank correlation."""
    counts = ", ".join(f"{n} {what}" for what, n in at.counts.items() if n) or "nothing ended"
    spent = [epochs(at.epochs)] if at.epochs else []
    spent += [duration(at.seconds)] if at.seconds else []
    best = at.best
    metric = at.result.goal.first.metric
    parts = [
        f"{at.n_candidates} in, {counts}",
        *(["spent " + ", ".join(spent)] if spent else []),
        f"best {metric} {amount(metric, best.metrics[metric])}" if best else "no best",
        *([] if at.is_last else [f"{len(at.survivors)} go on"]),
    ]
    if at.result.interrupted:
        return f"Stage {at.number} of {at.n_stages} was interrupted: {'; '.join(parts)}"
    told = (
        f"\n  the score before against this one: {at.correlation}, {at.correlation.verdict}" if at.correlation else ""
    )
    return f"Stage {at.number} of {at.n_stages} done: {'; '.join(parts)}{told}"


def table(found: FunnelResult) -> Table:
    """Make a table with a line for each stage."""
    drawn = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for i, title in enumerate(("stage", "in", "finished", "on", "epochs", "time", "ranked by", "best", "rank corr.")):
        drawn.add_column(title, justify="left" if i in (0, 6) else "right", no_wrap=True)
    for at in found.stages:
        drawn.add_row(*_row(at))
    return drawn


def _row(at: StageResult) -> list[str]:
    best = at.best
    metric = at.result.goal.first.metric
    rho = at.correlation.rho if at.correlation else None
    return [
        at.name,
        str(at.n_candidates),
        str(at.counts["finished"]),
        "" if at.is_last else str(len(at.survivors)),
        str(at.epochs or ""),
        duration(at.seconds),
        metric,
        amount(metric, best.metrics[metric]) if best else "none",
        "" if rho is None else f"{rho:+.2f}",
    ]


def notes(found: FunnelResult) -> list[str]:
    """Return the rank correlations with their intervals, which the table has no room for."""
    told = [
        f"Stage {at.number - 1}'s score against stage {at.number}'s: {at.correlation}, {at.correlation.verdict}."
        for at in found.stages
        if at.correlation
    ]
    return [*told, CAUTION] if told else []


def as_text(found: FunnelResult, width: int = 100) -> str:
    """Render the table and the notes as text."""
    file = io.StringIO()
    console = Console(file=file, width=width)
    console.print(table(found))
    for note in notes(found):
        console.print(note, markup=False, highlight=False)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def as_json(found: FunnelResult) -> dict[str, object]:
    """Return the same facts in a form that JSON can hold."""
    return {"interrupted": found.interrupted, "stages": [_stage(at) for at in found.stages]}


def _stage(at: StageResult) -> dict[str, object]:
    best, correlation = at.best, at.correlation
    return {
        "number": at.number,
        "folder": at.result.path.name,
        "trainable": at.stage.title,
        "objectives": [f"{o.mode}:{o.metric}" for o in at.result.goal.objectives],
        "constraints": list(map(str, at.result.goal.constraints)),
        "asked": at.stage.n,
        "candidates": at.n_candidates,
        "counts": dict(at.counts),
        "epochs": at.epochs,
        "seconds": at.seconds,
        "best": best and {"trial": best.trial, "key": best.arch.key, "metrics": dict(best.metrics)},
        "why_none": "" if best else at.result.why_none,
        "survivors": [{"key": e.arch.key, "architecture": e.arch.to_config()} for e in at.survivors],
        "rank_correlation": correlation
        and {"n": correlation.n, "rho": correlation.rho, "low": correlation.low, "high": correlation.high},
    }


def write(found: FunnelResult) -> None:
    """Write the summary so far as text and JSON.

    Raises:
        RaynasError: if a file cannot be written.
    """
    try:
        write_whole(found.path / TEXT, as_text(found))
        write_whole(found.path / JSON, json.dumps(as_json(found), indent=2) + "\n")
    except OSError as error:
        raise RaynasError(f"cannot write the summary to {found.path}: {error.strerror}") from None


def draw(found: FunnelResult) -> None:
    """Plot each stage's score against the next, where there are both.

    Raises:
        RaynasError: if the file cannot be written.
    """
    pairs = [(a, b) for a, b in pairwise(found.stages) if a.scores.keys() & b.scores]
    try:
        if pairs:
            plot(pairs, found.path / PLOT)
    except OSError as error:
        raise RaynasError(f"cannot write the plot to {found.path}: {error.strerror}") from None


def plot(pairs: Sequence[tuple[StageResult, StageResult]], path: Path) -> None:
    """Draw the survivors of each stage: their score in it against that in the next, survivors of both filled.

    Args:
        pairs: a stage and the next.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(pairs), 4.2), layout="constrained")
    for axes, (earlier, later) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        x, y = ({a: at.result.goal.first.sign * s for a, s in at.scores.items()} for at in (earlier, later))
        both = [arch for arch in y if arch in x]
        chosen = {e.arch for e in later.survivors[: 1 if later.is_last else None]}
        for label, archs, face in (
            ("stays behind", [a for a in both if a not in chosen], "none"),
            ("the best" if later.is_last else "goes on", [a for a in both if a in chosen], "C0"),
        ):
            axes.scatter([x[a] for a in archs], [y[a] for a in archs], edgecolors="C0", facecolors=face, label=label)
        axes.set(xscale=_scale([x[a] for a in both]), yscale=_scale([y[a] for a in both]))
        axes.set_xlabel(f"{earlier.result.goal.first.metric} in stage {earlier.name}")
        axes.set_ylabel(f"{later.result.goal.first.metric} in stage {later.name}")
        axes.set_title(f"Spearman {later.correlation}", fontsize="medium")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def _scale(values: Sequence[float]) -> str:
    return "log" if min(values) > 0 and max(values) > WIDE * min(values) else "linear"
