"""The best for each objective after each evaluation."""

from pathlib import Path

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.metrics import read_goal
from raynas.views.tensorboard import TensorBoardLog
from tests.views.tensorboard.logs import SPACE, add, read, scalars, text, write


def test_the_search_has_the_best_and_the_counts_after_each_evaluation(tmp_path: Path) -> None:
    archive = Archive()
    goal = read_goal(["accuracy", "latency_ms"], "params <= 5")
    add(archive, "1", accuracy=0.5, latency_ms=9, params=1)
    archive.append("refused", config={}, metrics={}, reason="params")
    archive.append("repaired", config={}, proposal={})
    add(archive, "2", "failed")
    add(archive, "3", "stopped", accuracy=0.9, latency_ms=1, params=1)
    archive.append("duplicate", config={})
    add(archive, "4", accuracy=0.8, latency_ms=1, params=6)
    add(archive, "5", accuracy=0.4, latency_ms=2, params=1)
    write(tmp_path, archive, goal)
    run = tmp_path / "search"
    curves = {
        tag: [value for _, value in scalars(run, tag)]
        for tag in read(run).Tags()["scalars"]
        if tag.startswith("search/")
    }
    assert curves == {
        "search/best_accuracy": [0.5] * 5,
        "search/best_latency_ms": [9, 9, 9, 9, 2],
        "search/trials_finished": [1, 1, 1, 2, 3],
        "search/trials_stopped": [0, 0, 1, 1, 1],
        "search/trials_failed": [0, 1, 1, 1, 1],
        "search/refused": [0, 1, 1, 1, 1],
        "search/repaired": [0, 1, 1, 1, 1],
        "search/duplicates": [0, 0, 0, 1, 1],
    }
    assert [step for step, _ in scalars(run, "search/refused")] == [1, 2, 3, 4, 5]
    best = text(run, "search/best").splitlines()
    assert best[0] == "|  | best accuracy | best latency_ms |"
    assert "| trial | 1 | 5 |" in best
    assert "| op | conv | conv |" in best


def test_a_constraint_resolved_along_the_way_is_applied_to_what_came_before(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    relative = Goal.parse("accuracy", "params <= 0.5 * baseline")
    add(archive, "1", accuracy=0.9, params=10)
    log.update(archive, relative)
    add(archive, "2", accuracy=0.7, params=4)
    log.update(archive, relative.against({"params": 10}))
    log.close(archive, relative.against({"params": 10}))
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.9), (2, 0.7)]


def test_the_baseline_has_a_column(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    goal = read_goal("accuracy")
    add(archive, "1", accuracy=0.9, params=10)
    log.update(archive, goal)
    log.close(archive, goal.against({"params": 12.5}))
    best = text(tmp_path / "search", "search/best").splitlines()
    assert best[0] == "|  | best accuracy | baseline |"
    assert "| params | 10 | 12.5 |" in best and "| accuracy | 0.9 |  |" in best
