"""What the progress table says, that it fits a terminal, and that it never troubles the search."""

import io
import logging
import pickle
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from raynas.core.archive import Archive, Record
from raynas.core.goal import Goal
from raynas.metrics import read_goal
from raynas.views.progress import ProgressCallback, display
from raynas.views.progress.display import HINT
from raynas.views.progress.state import SearchState
from raynas.views.progress.table import progress_table

ACCURACY = Goal.parse("accuracy")
BOTH = read_goal(["accuracy", "latency_ms"])


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


@pytest.mark.parametrize("goal", [ACCURACY, BOTH, Goal.parse("accuracy", ["latency_ms <= 20 ", "params <= 3e9"])])
@pytest.mark.parametrize("width", [80, 60])
def test_the_table_fits_a_terminal_of_24_lines(goal: Goal, width: int) -> None:
    archive = crowded()
    lines = text_of(SearchState(archive, 1000), goal, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 24


def test_the_table_says_how_the_search_stands() -> None:
    archive = Archive()
    seconds = [0.0]
    shown = SearchState(archive, 10, clock=lambda: seconds[0])
    add(archive, "1", accuracy=0.91, params=1234567.0, latency_ms=3.414)
    add(archive, "2", status="stopped", accuracy=0.99)
    add(archive, "3", status="failed", error="RuntimeError: no\n memory")
    propose(archive, "4", params=2e6)
    archive.append("result", trial="4", fidelity=2, metrics={"accuracy": 0.4})
    archive.append("refused", config={}, metrics={}, reason="params")
    shown.update(archive)
    seconds[0] = 90.0
    text = text_of(shown)
    assert "cells for highest accuracy" in text
    assert "3/10 in 1 m 30 s, about 3 m 30 s left" in text
    assert "1 finished, 1 stopped, 1 failed, 1 running" in text
    assert "1 broke a constraint, 0 were known already" in text
    assert "1: accuracy 0.91, params 1.23 M, latency 3.41 ms" in text
    assert "3: RuntimeError: no memory" in text
    assert [line.split() for line in text.splitlines() if line.startswith("4 ")] == [
        ["4", "2", "0.4", "2", "M", "1", "m", "30", "s"]
    ]
    assert HINT in text


def test_time_left_goes_by_this_session_alone() -> None:
    archive = Archive()
    for i in range(5):
        add(archive, str(i), accuracy=0.5)
    seconds = [100.0]
    shown = SearchState(archive, 10, clock=lambda: seconds[0])
    assert "left" not in text_of(shown)
    assert "5 ended in earlier sessions" in text_of(shown)
    add(archive, "5", accuracy=0.5)
    shown.update(archive)
    seconds[0] = 107.0
    assert "6/10 in 7 s, about 28 s left" in text_of(shown)


def test_at_the_end_there_is_nothing_left_to_wait_for() -> None:
    archive = Archive()
    shown = SearchState(archive, 1)
    add(archive, "1", accuracy=0.5)
    shown.update(archive)
    assert "left" not in text_of(shown)
    assert HINT not in text_of(shown)


def test_the_best_is_trained_to_its_end_and_meets_the_constraints() -> None:
    archive = Archive()
    shown = SearchState(archive, 10)
    add(archive, "1", status="stopped", accuracy=0.9, params=1.0)
    add(archive, "2", accuracy=0.8, params=9.0)
    shown.update(archive)
    goal = Goal.parse("accuracy", "params <= 5")
    assert "nothing yet" in text_of(shown, goal)
    add(archive, "3", accuracy=0.7, params=1.0)
    shown.update(archive)
    assert "3: accuracy 0.7" in text_of(shown, goal)
    # A relative constraint that is resolved along the way changes the goal, and with it what was best.
    assert "2: accuracy 0.8" in text_of(shown, Goal.parse("accuracy", "params <= 50"))


def test_several_objectives_show_the_ends_of_the_front() -> None:
    archive = Archive()
    shown = SearchState(archive, 10)
    for trial, accuracy, latency in (("1", 0.9, 30.0), ("2", 0.8, 20.0), ("3", 0.7, 10.0), ("4", 0.6, 15.0)):
        add(archive, trial, accuracy=accuracy, latency_ms=latency)
        shown.update(archive)
        text_of(shown, BOTH)
    text = text_of(shown, BOTH)
    assert "3 architectures" in text
    assert "1: accuracy 0.9, latency 30 ms" in text
    assert "3: latency 10 ms, accuracy 0.7" in text


def test_each_record_is_read_once() -> None:
    class Counted(Archive):
        n_read = 0

        def __iter__(self) -> Iterator[Record]:
            for record in super().__iter__():
                self.n_read += 1
                yield record

    archive = Counted()
    shown = SearchState(archive, 100)
    for i in range(50):
        add(archive, str(i), accuracy=0.5)
        shown.update(archive)
    assert archive.n_read == 100


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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table_in_place_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(display, "TABLE_SECONDS", 0.0)
    handler = logging.StreamHandler(terminal)
    log = logging.getLogger("test_progress")
    log.addHandler(handler)
    archive = Archive()
    console = Console(file=terminal, force_terminal=True, width=80, height=24, legacy_windows=False, _environ={})
    callback = ProgressCallback(searcher_of(archive), 3, console)
    try:
        for trial in ("1", "2", "3"):
            add(archive, trial, accuracy=0.5)
            callback.on_step_end(0, [])
            time.sleep(0.02)
        assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l")  # the cursor shows
        log.warning("a warning")
        assert handler.stream is not terminal
        callback.on_experiment_end([])
        assert handler.stream is terminal
        assert sys.stdout is terminal
    finally:
        log.removeHandler(handler)
    assert "a warning" in terminal.getvalue()
    assert terminal.getvalue().count("3/3 in") >= 1
    assert "\x1b[1A" in terminal.getvalue()  # it was drawn over, not appended


def test_an_error_is_told_once_and_kept_from_tune(caplog: pytest.LogCaptureFixture) -> None:
    archive = Archive()
    callback = ProgressCallback(searcher_of(archive), 3, Console(file=io.StringIO()))
    for _ in range(3):
        archive.append("ended", trial="never proposed", status="finished", fidelity=1, metrics={}, error="")
        callback.on_step_end(0, [])
    callback.on_experiment_end([])
    assert [record.message for record in caplog.records] == [
        "the progress shown is incomplete: KeyError: 'never proposed'"
    ]


def test_a_copy_in_another_process_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    copy = pickle.loads(pickle.dumps(ProgressCallback(searcher_of(crowded()), 3)))
    copy.on_step_end(0, [])
    copy.on_experiment_end([])
    assert capsys.readouterr().out == ""
