"""Archives of searches for trackers, and what trackers hold of them."""

from pathlib import Path
from typing import Any

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.result import SearchResult
from tests.views.tensorboard.logs import ACCURACY, SPACE, end, propose, report

SESSION: dict[str, Any] = {
    "space": "Space 1",
    "trainable": "digits",
    "objectives": ["max:accuracy"],
    "constraints": [],
    "strategy": "RandomSearch()",
    "seed": 0,
    "num_samples": 3,
    "baseline": {},
    "code": {},
    "data": {},
    "title": "cnn on digits, random",
}


def searched(n: int = 3) -> Archive:
    """A search with ``n`` trials of two epochs, the last of which failed."""
    archive = Archive()
    archive.append("session", **SESSION)
    for number in range(1, n + 1):
        trial = f"{number:05d}"
        propose(archive, trial)
        report(archive, trial, 1, accuracy=0.1 * number)
        if number < n:
            end(archive, trial, 2, accuracy=0.2 * number)
        else:
            end(archive, trial, 1, "failed", "ValueError: no", accuracy=0.1 * number)
    return archive


def result_of(archive: Archive, path: Path, goal: Goal = ACCURACY, *, interrupted: bool = False) -> SearchResult:
    path.mkdir(parents=True, exist_ok=True)
    return SearchResult(space=SPACE, goal=goal, archive=archive, path=path, interrupted=interrupted)
