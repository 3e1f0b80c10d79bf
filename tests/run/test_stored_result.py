"""Results read from folders."""

import json
from pathlib import Path

import pytest

from raynas.errors import ArchiveError, RaynasError
from raynas.run.stored_result import stored_result
from tests.run.stored import stored


def test_a_result_is_that_of_the_search(tmp_path: Path) -> None:
    expected = stored(tmp_path, objectives=("accuracy", "min:latency_ms"))
    found = stored_result(tmp_path)
    assert found.evaluations == expected.evaluations and found.counts == expected.counts
    assert found.best() == expected.best() and found.goal.objectives == expected.goal.objectives
    assert found.pareto_front() == expected.pareto_front()
    assert not found.interrupted and found.space.name == "MLP"
    with pytest.raises(RaynasError, match="has no code of MLP: run the search again"):
        found.space.build(found.best().arch)


def test_limits_refer_to_the_baseline(tmp_path: Path) -> None:
    first = stored(tmp_path / "other").evaluations[0]
    session = {
        "constraints": ["params <= 0.5 * baseline", "latency_ms <= 2 * baseline"],
        "baseline": {"params": 90_000},
        "baseline_is": json.dumps({"arch": first.arch.to_config(), "lr": 0.1}, sort_keys=True),
    }
    stored(tmp_path / "this", session=session)
    found = stored_result(tmp_path / "this")
    assert list(map(str, found.goal.constraints)) == ["params <= 45000", "latency_ms <= 4"]
    assert found.goal.baseline == {**first.metrics, "params": 90_000}


def test_missing_trials(tmp_path: Path) -> None:
    stored(tmp_path, num_samples=7)
    assert stored_result(tmp_path).interrupted


def test_no_search(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="cannot read the archive"):
        stored_result(tmp_path)
    (tmp_path / "archive.jsonl").touch()
    with pytest.raises(RaynasError, match="did not begin: run the same command again"):
        stored_result(tmp_path)
