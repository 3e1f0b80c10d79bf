"""The table of progress, which fits a terminal."""

import pytest

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.measurement import Measured, Provenance
from raynas.metrics import read_goal
from raynas.views.progress.display import HINT
from raynas.views.progress.state import SearchState
from tests.views.progress.searches import ACCURACY, add, crowded, propose, text_of

BOTH = read_goal(["accuracy", "latency_ms"])


BASELINE = read_goal(["accuracy", "latency_ms", "params"]).against(
    {"accuracy": 0.8, "params": 123456789.0, "macs": 9e9}
)


@pytest.mark.parametrize(
    "goal", [ACCURACY, BOTH, BASELINE, Goal.parse("accuracy", ["latency_ms <= 20 ", "params <= 3e9"])]
)
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
    archive.append("repaired", config={}, proposal={})
    shown.update(archive)
    seconds[0] = 90.0
    text = text_of(shown)
    assert "cells for highest accuracy" in text
    assert "3/10 in 1 m 30 s, about 3 m 30 s left" in text
    assert "1 finished, 1 stopped, 1 failed, 1 running" in text
    assert "1 broke a constraint, 0 were known already" in text
    assert "1 proposals were changed to meet the constraints" in text
    assert "1: accuracy 0.91, params 1.23 M, latency 3.41 ms" in text
    assert "3: RuntimeError: no memory" in text
    assert [line.split() for line in text.splitlines() if line.startswith("4 ")] == [
        ["4", "2", "0.4", "2", "M", "1", "m", "30", "s"]
    ]
    assert HINT in text


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


def test_the_baseline_is_beside_the_best() -> None:
    archive = Archive()
    goal = read_goal("accuracy", "params <= 0.5 * baseline").against({"params": 4000.0, "accuracy": 0.8125})
    lines = text_of(SearchState(archive, 10), goal).splitlines()
    assert any(line.split() == ["baseline", "accuracy", "0.8125,", "params", "4", "k"] for line in lines), lines
    assert "params <= 2000" in lines[0]
    assert not any("baseline" in line for line in text_of(SearchState(archive, 10)).splitlines())


def test_unreliable_figures_are_counted_and_marked() -> None:
    archive, doubtful = Archive(), Measured(12.5, Provenance(doubt="the machine is busy: 40% waiting"))
    add(archive, "00001", accuracy=0.9, latency_ms=Measured(3.0, Provenance()))
    assert "doubtful" not in text_of(SearchState(archive, 9))
    add(archive, "00002", accuracy=0.95, latency_ms=doubtful)
    propose(archive, "00003", latency_ms=doubtful)
    archive.append("refused", config={}, metrics={"latency_ms": doubtful}, reason="latency_ms")
    shown = text_of(SearchState(archive, 9), width=100)
    assert "doubtful  2 of latency_ms; the last: the machine is busy: 40% waiting" in shown
    assert shown.count("12.5 ms (?)") == 2, "of the best, and of the one that runs"
