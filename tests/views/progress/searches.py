"""Archives of searches, and the table of progress as text."""

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.views.progress.display import HINT
from raynas.views.progress.state import SearchState
from raynas.views.progress.table import progress_table

ACCURACY = Goal.parse("accuracy")


def propose(archive: Archive, trial: str, **costs: float) -> None:
    archive.append("proposed", trial=trial, config={"arch": {"depth": 3}, "lr": 0.1}, costs=costs)


def end(archive: Archive, trial: str, status: str = "finished", error: str = "", **metrics: float) -> None:
    archive.append("ended", trial=trial, status=status, fidelity=5, metrics=metrics, error=error)


def add(archive: Archive, trial: str, **ended: Any) -> None:
    propose(archive, trial)
    end(archive, trial, **ended)


def text_of(shown: SearchState, goal: Goal = ACCURACY, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(progress_table(shown, "cells", goal, HINT))
    return console.export_text()


def searcher_of(archive: Archive, goal: Goal = ACCURACY) -> Any:
    return SimpleNamespace(archive=archive, goal=goal, space=SimpleNamespace(name="cells"))


def crowded(goal: Goal = ACCURACY) -> Archive:
    """A long search in which everything happens at once."""
    archive = Archive()
    for i in range(500):
        add(archive, f"{i:05d}", accuracy=0.9312345678, latency_ms=12.345678, params=123456789.0, macs=9.87e11)
    for i in range(500, 600):
        error = "RuntimeError: CUDA out of memory. " + "Tried to allocate too much. " * 10
        add(archive, f"{i:05d}", status="failed", error=error)
        add(archive, f"stopped-{i}", status="stopped", accuracy=0.5)
        archive.append("refused", config={}, metrics={}, reason="params")
        archive.append("duplicate", config={})
    for i in range(32):
        propose(archive, f"running-{i:05d}", params=123456789.0)
        archive.append("result", trial=f"running-{i:05d}", fidelity=100, metrics={"accuracy": 0.123456789})
    return archive
