"""Progress as lines in a log."""

import io

from rich.console import Console

from raynas.core.archive import Archive
from raynas.metrics import read_goal
from raynas.views.progress import ProgressCallback
from raynas.views.progress.lines import ProgressLines
from raynas.views.progress.state import SearchState
from tests.views.progress.searches import ACCURACY, add, propose, searcher_of


def test_a_log_gets_a_header_then_few_lines() -> None:
    archive = Archive()
    add(archive, "1", status="failed", error="ValueError: old")
    out = io.StringIO()
    callback = ProgressCallback(searcher_of(archive), 100, Console(file=out, width=80))
    for i in range(2, 50):
        add(archive, str(i), status="failed", error=f"ValueError: [red]{i}[/red] " + "long " * 30)
        callback.on_step_end(i, [])
    add(archive, "50", accuracy=0.5)
    callback.on_experiment_end([])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("Searching" in line for line in lines) == 1
    assert "old" not in out.getvalue()
    assert "[red]49[/red]" in out.getvalue()
    assert sum("/100 in" in line for line in lines) == 2
    assert out.getvalue().endswith("50/100 in 0 s, about 0 s left, 49 failed; best 50: accuracy 0.5\n")


def test_the_baseline_is_beside_the_best() -> None:
    archive = Archive()
    out = io.StringIO()
    goal = read_goal("accuracy").against({"accuracy": 0.25, "params": 7.0})
    callback = ProgressCallback(searcher_of(archive, goal), 2, Console(file=out, width=80))
    add(archive, "1", accuracy=0.5)
    callback.on_experiment_end([])
    assert out.getvalue().endswith("; best 1: accuracy 0.5; baseline accuracy 0.25\n")


def test_a_slow_trial_is_told_once() -> None:
    seconds = [0.0]
    archive = Archive()
    state = SearchState(archive, 10, clock=lambda: seconds[0])
    lines = ProgressLines(state)
    propose(archive, "long")
    for i in range(3):
        add(archive, str(i), accuracy=0.5)
    state.update(archive)
    seconds[0] = 60.0
    told = [*lines.lines(ACCURACY), *lines.lines(ACCURACY)]
    assert [line for line in told if line.startswith("slow")] == [
        "slow long: takes 30 times as long as others; max_trial_seconds limits slow trials."
    ]
