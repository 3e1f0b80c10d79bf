"""A report as files: text, JSON, and plots of the Pareto fronts."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raynas.analysis import SEARCH, compared
from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.core.measurement import as_plain
from raynas.core.result import SearchResult
from raynas.errors import ContentError, RaynasError, one_line
from raynas.files.content import read_file
from raynas.files.replacing import write_whole
from raynas.views.pareto import draw_front, draw_references
from raynas.views.report.blocks import Image, Page
from raynas.views.report.facts import Summary
from raynas.views.report.findings import Findings
from raynas.views.report.plot_names import plot_name
from raynas.views.report.text import as_text
from raynas.views.report.winner_picture import winner_picture

logger = logging.getLogger(__name__)

HTML, MARKDOWN = "report.html", "report.md"

OPTIONS = "options.yaml"
"""File of all options of ``raynas search``, beside its report."""

SUPERNET = "supernet"
"""Folder of the training of shared weights, in that of the search among the networks that share them."""


def write(
    summary: Summary,
    directory: Path,
    *,
    searches: Mapping[str, SearchResult] | None = None,
    stages: Mapping[str, Mapping[Architecture, float]] | None = None,
) -> None:
    """Write ``summary.txt``, ``summary.json``, a plot of each Pareto front, ``report.html`` and ``report.md``.

    Args:
        summary: the facts.
        directory: of the files; it must exist.
        searches: results by name: "search", the one that the summary is about, without which there is no page; then
            others for the same goal, whose trials are shown too, such as "random".
        stages: scores of earlier stages of a funnel, larger is better, by name.

    Raises:
        RaynasError: if a file cannot be written.
    """
    searches = searches or {}
    points = {name: result.full for name, result in searches.items()}
    try:
        write_whole(directory / "summary.txt", as_text(summary))
        write_whole(directory / "summary.json", json.dumps(as_json(summary), indent=2) + "\n")
        for cost, front in summary.fronts.items():
            if front:
                plot_front(summary.goal, cost, front, points, directory / plot_name(cost))
        if SEARCH in searches:
            others = {name: result for name, result in searches.items() if name != SEARCH}
            findings = Findings(
                summary=summary,
                result=searches[SEARCH],
                others=others,
                stages=stages or {},
                options=options_in(directory),
                shared=shared_weights_in(searches[SEARCH].path),
            )
            _write_pages(findings, directory)
    except OSError as error:
        raise RaynasError(f"cannot write the report to {directory}: {error.strerror}") from None


def _write_pages(findings: Findings, directory: Path) -> None:
    from raynas.views.report.sections import page_of

    best = findings.summary.best

    def make() -> Page:
        picture = winner_picture(findings.result.space, best.arch, directory) if best else None
        return page_of(findings, picture)

    write_pages(make, directory)


def write_pages(make: Callable[[], Page], directory: Path) -> None:
    """Write ``report.html`` and ``report.md``; whatever is wrong with the page costs a warning, and no other file.

    Args:
        make: returns the page.
        directory: of the files and of the pictures beside them; it must exist.

    Raises:
        OSError: if a file cannot be written.
    """
    from raynas.views.report.markdown import as_markdown
    from raynas.views.report.page import as_html

    try:
        page = make()
        texts = {HTML: as_html(page), MARKDOWN: as_markdown(page)}
    except Exception as error:
        logger.warning("there is no %s in %s: %s", HTML, directory, one_line(error))
        return
    pictures = {b.name: b.svg.decode() for section in page.sections for b in section.blocks if isinstance(b, Image)}
    for name, text in (pictures | texts).items():
        write_whole(directory / name, text)


def options_in(directory: Path) -> str:
    """Return the options that the command line wrote beside a report; "" if there are none."""
    try:
        return read_file(directory / OPTIONS).decode(errors="replace")
    except (OSError, ContentError):
        return ""


def shared_weights_in(path: Path) -> Archive | None:
    """Return the archive of the training of shared weights in the folder of a search; None if there is none."""
    file = path / SUPERNET / "archive.jsonl"
    try:
        return Archive.load(file) if file.is_file() else None
    except RaynasError as error:
        logger.warning("the report says nothing of shared weights: %s", one_line(error))
        return None


def as_json(summary: Summary) -> dict[str, object]:
    """Return a summary in types of JSON."""
    comparison = summary.comparison
    return {
        "title": summary.title,
        "objectives": [f"{o.mode}:{o.metric}" for o in summary.goal.objectives],
        "constraints": [str(constraint) for constraint in summary.goal.constraints],
        "baseline": dict(summary.goal.baseline),
        "best": summary.best and _evaluation(summary.best),
        "why_none": summary.why_none,
        "choice": summary.choice,
        "fronts": {cost: [_evaluation(e) for e in front] for cost, front in summary.fronts.items()},
        "counts": dict(summary.counts),
        "feasible_share": summary.feasible_share,
        "violating": summary.n_violating,
        "ended_because": summary.ended_because,
        "interrupted": summary.interrupted,
        "measured_at_end": [_evaluation(e) for e in summary.measured],
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
        "provenance": as_plain(evaluation.metrics),
        **({"first": dict(evaluation.first)} if evaluation.first else {}),
        **({"repeats": [dict(metrics) for metrics in evaluation.repeats]} if evaluation.repeats else {}),
        "epochs": evaluation.fidelity,
    }


def plot_front(
    goal: Goal, other: str, front: Sequence[Evaluation], points: Mapping[str, Sequence[Evaluation]], path: Path
) -> None:
    """Draw a Pareto front among all fully trained architectures, with the baseline and the limits.

    Args:
        goal: its first objective is the vertical axis.
        other: the metric of the horizontal axis, logarithmic where values allow it.
        front: the front.
        points: evaluations to show besides it, by what to call them.
        path: of the PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=100)
    figure.subplots_adjust(left=0.12, right=0.97, bottom=0.12, top=0.97)
    axes = figure.add_subplot()
    for (label, evaluations), marker in zip(points.items(), "o^sv", strict=False):
        x, y = _coordinates(evaluations, other, goal.first)
        axes.scatter(x, y, marker=marker, alpha=0.45, label=f"{label} ({len(x)} fully trained)")
    x, y = _coordinates(sorted(front, key=lambda e: e.metrics[other]), other, goal.first)
    modes = {objective.metric: objective.mode for objective in compared(goal)}
    draw_front(axes, list(zip(x, y, strict=True)), modes[other])
    draw_references(axes, goal, other, goal.first.metric)
    if min(x) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(other)
    axes.set_ylabel(f"{goal.first.metric} (validation)")
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_png(path)


def _coordinates(evaluations: Iterable[Evaluation], cost: str, objective: Objective) -> tuple[list[float], list[float]]:
    shown = [e.metrics for e in evaluations if cost in e.metrics and objective.metric in e.metrics]
    return [m[cost] for m in shown], [m[objective.metric] for m in shown]
