"""Columns, shares, parallel coordinates and importance of decisions."""

import pytest

from raynas.analysis import columns_of, generation_size, importance, option_shares, parallel_coordinates, windows
from raynas.core.evaluation import Evaluation
from raynas.metrics import read_goal
from raynas.search_spaces import CNN
from tests.analysis.trials import archived, evaluation, many

GOAL = read_goal()


def with_lr(lr: float) -> Evaluation:
    return Evaluation(many(1)[0].arch, {"accuracy": 0.5}, hyperparameters={"opt": {"lr": lr}, "epochs": 3})


def test_columns_are_what_varies() -> None:
    columns = columns_of([with_lr(10.0**-i) for i in range(13)])
    assert [(c.name, c.low, c.high, c.log) for c in columns] == [("opt.lr", 1e-12, 1.0, True)]
    assert [c.options for c in columns_of(many(30)) if c.name in ("op", "depth")] == [
        ("conv", "pool", "skip"),
        (1, 2, 3),
    ]


def test_a_space_knows_options_that_no_trial_had() -> None:
    space = CNN()
    few = [Evaluation(space.default, {"accuracy": 0.5})]
    assert [c.name for c in columns_of(few, space)][: len(space.decisions)] == [d.name for d in space.decisions]
    assert columns_of(few) == []


def test_windows_hold_whole_generations() -> None:
    assert windows(5) == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    assert windows(25, most=3) == [(1, 9), (10, 18), (19, 25)]
    assert windows(25, 4, most=3) == [(1, 12), (13, 24), (25, 25)]
    assert windows(0) == []
    assert generation_size(archived([], generation_size=4)) == 4
    assert generation_size(archived([], generation_size=None)) == generation_size(archived([])) == 0


def test_shares_of_options_over_time() -> None:
    found = {s.decision: s for s in option_shares(many(40), generation_size=20)}
    assert list(found) == ["op", "depth", "kernel", "width"]
    assert found["op"].windows == ((1, 20), (21, 40))
    assert [sum(row) for row in found["op"].shares] == pytest.approx([1, 1])
    assert sum(found["width"].shares[0]) == pytest.approx(found["op"].shares[0][0])  # active for convolutions alone


def test_lines_across_axes() -> None:
    found = parallel_coordinates([*many(30), evaluation("x", 0.1, status="stopped")], GOAL)
    assert [axis.name for axis in found.axes] == ["op", "depth", "kernel", "width", "params", "accuracy"]
    assert len(found.lines) == 30 and found.lines[0][-1] == found.scores[0]
    assert {line[3] for line in found.lines} == {None, 0, 1}


def test_importance_finds_what_matters() -> None:
    found = importance(many(150), GOAL)
    assert not found.reason and found.explained > 0.8
    by_name = {d.name: d for d in found.decisions}
    assert found.decisions[0].name == "op"
    assert by_name["op"].mean > 5 * by_name["depth"].mean > 0
    assert abs(by_name["kernel"].mean) < 0.05 and by_name["op"].spread > 0


def test_importance_says_where_it_cannot_tell() -> None:
    few, noise = importance(many(19), GOAL), importance(many(60, noise=9.0), GOAL)
    assert few.reason == "19 trials are too few to say: 20 are needed" and not few.decisions
    assert "mostly noise" in noise.reason and noise.decisions
    same = [evaluation(str(i), 0.5, {"op": i % 2}) for i in range(30)]
    assert "all have the same accuracy" in importance(same, GOAL).reason
