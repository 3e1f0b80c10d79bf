"""Tune results as evaluations, and recorded evaluations as Tune results."""

from collections.abc import Mapping
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.archive import Record
from raynas.core.evaluation import Evaluation, Status, metrics_of, notes_of
from raynas.core.goal import Goal
from raynas.core.relaxed_weights import relaxed_field

Result = dict[str, Any]
"""A flat Tune result: metrics by name, beside what Tune adds."""


def outcome(
    trial: str, point: Architecture, result: Result, goal: Goal, *, costs: Mapping[str, float], error: bool
) -> Evaluation:
    """Turn the last result of a trial into an evaluation.

    Args:
        trial: its name.
        point: its architecture.
        result: the last result; empty for a trial that never reported.
        goal: names the metrics without which a trial has failed.
        costs: measured before the trial; they replace what it reported.
        error: whether the trial raised or was killed.
    """
    metrics, notes = {**metrics_of(result), **costs}, notes_of(result)
    if error or result.get("failed") or any(o.metric not in metrics for o in goal.objectives):
        return Evaluation(point, metrics, fidelity_of(result), "failed", trial, _reason(result, goal), notes=notes)
    status: Status = "finished" if result.get("complete", True) else "stopped"
    return Evaluation(point, metrics, fidelity_of(result), status, trial, notes=notes)


def fidelity_of(result: Result) -> int:
    """Return the amount of training behind a result: its ``training_iteration``, 0 if the trial never reported."""
    return int(result.get("training_iteration") or 0)


def report_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the record of a report: fidelity, metrics, and weights of a differentiable search."""
    return {"fidelity": fidelity_of(dict(result)), "metrics": metrics_of(result), **relaxed_field(result)}


def _reason(result: Result, goal: Goal) -> str:
    reported = result.get("error")
    if reported and isinstance(reported, str):  # a number would be a metric of that name
        return reported
    missing = [o.metric for o in goal.objectives if o.metric not in metrics_of(result)]
    return f"no finite {missing[0]!r} was reported" if result and missing else "the trial raised or was killed"


def as_result(record: Record) -> Result:
    """Rebuild the Tune result behind a ``result`` or ``ended`` record, as far as anyone reads it."""
    ended = {"complete": record["status"] != "stopped", "error": record["error"]} if "status" in record else {}
    return {**ended, **record["metrics"], "training_iteration": record["fidelity"]}
