"""The data behind an interactive front: every trial with all of its metrics and decisions, for axes and a CSV file."""

from collections.abc import Mapping, Sequence
from typing import Any

from raynas import analysis
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.views.figures.front import limit_look, limit_text
from raynas.views.figures.style import label, plain
from raynas.views.report.tables import decisions_of

MAX_LINES = 10
"""Maximum number of decisions in the text of a point."""


def hover_texts(by_source: Mapping[str, Sequence[Evaluation]]) -> dict[tuple[str, str], str]:
    """Return the decisions of each trial, by source and trial; line breaks of plotly, all else plain."""
    return {(source, e.trial): "<br>".join(_lines(e)) for source, found in by_source.items() for e in found}


def _lines(evaluation: Evaluation) -> list[str]:
    lines = [plain(f"{name} {text}", 46) for name, text in decisions_of(evaluation)]
    return [*lines[:MAX_LINES], f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else lines


def front_data(by_source: Mapping[str, Sequence[Evaluation]], goal: Goal) -> dict[str, Any]:
    """Return a table of all trials for the page's script, in types of JSON.

    Args:
        by_source: evaluations of each search.
        goal: has directions, limits and baseline.
    """
    rows = [(source, number, e) for source, found in by_source.items() for number, e in enumerate(found, 1)]
    evaluations = [e for _, _, e in rows]
    known = analysis.known_metrics(goal)
    modes = {name: metric.mode for name, metric in known.items()} | {o.metric: o.mode for o in goal.objectives}
    metrics = dict.fromkeys(name for e in evaluations for name in e.metrics)
    first = [goal.first.metric, *(o.metric for o in analysis.compared(goal))]
    names = [m for m in dict.fromkeys([*first, *metrics]) if m in metrics]
    return {
        "ids": [[plain(source), number] for source, number, _ in rows],
        "candidate": [e.status == "finished" and goal.violation(e) == 0 for e in evaluations],
        "metrics": [
            {
                "name": name,
                "label": label(name),
                "maximise": modes.get(name, "min") == "max",
                "values": [_number(e.metrics.get(name)) for e in evaluations],
                "baseline": goal.baseline.get(name),
                "limits": [
                    {"value": c.limit, "line": limit_look(soft=c.soft), "note": limit_text(str(c))}
                    for c in goal.constraints
                    if c.metric == name and not c.relative
                ],
            }
            for name in names
        ],
        "columns": [
            {"name": "search", **_coded([source for source, _, _ in rows])},
            {"name": "trial", "values": [e.trial for e in evaluations]},
            {"name": "status", **_coded([e.status for e in evaluations])},
            {"name": "fidelity", **_coded([e.fidelity for e in evaluations])},
            *_decisions(evaluations),
        ],
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.7g}")


def _decisions(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    found = [analysis.row_of(e) for e in evaluations]
    names = dict.fromkeys(name for row in found for name in row)
    return [{"name": name, **_coded([row.get(name) for row in found])} for name in names]


def _coded(values: Sequence[object]) -> dict[str, Any]:
    """Return few different values as codes, which take less space; tuples and the like as text."""
    shown = [v if v is None or isinstance(v, bool | int | float | str) else str(v) for v in values]
    options = list(dict.fromkeys(shown))
    if len(options) > 64:
        return {"values": shown}
    index = {(type(option), option): i for i, option in enumerate(options)}
    return {"options": options, "codes": [index.get((type(v), v), 0) for v in shown]}
