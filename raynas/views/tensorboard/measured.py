"""Figures measured after a search, added to its logs."""

from collections.abc import Sequence
from pathlib import Path

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.views.tensorboard.exhibits import measured_shown
from raynas.views.tensorboard.pictures import add_shown
from raynas.views.tensorboard.search_run import SearchRun


def add_measured(log_dir: Path, evaluations: Sequence[Evaluation], goal: Goal) -> None:
    """Add pictures of the figures that were measured again at the end of a search, unless they are there.

    Args:
        log_dir: folder of the logs.
        evaluations: of the search.
        goal: of the search.
    """
    if not any(e.first for e in evaluations):
        return
    run = SearchRun(log_dir / "search")
    for tag, shown in measured_shown(evaluations, goal).items():
        add_shown(run, tag, shown, len(evaluations))
    run.flush()
