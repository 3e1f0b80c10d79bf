"""The bench of the cost of TensorBoard logs, small."""

from pathlib import Path

from scripts.bench.tensorboard_cost import measure


def test_a_small_run(tmp_path: Path) -> None:
    cost = measure(3, tmp_path)
    assert cost["cpu_s"] > 0 and cost["ms_per_trial"] > 0
    assert cost["files"] >= 4  # the search's own, and one of each trial
    assert 0 < cost["search_megabytes"] < cost["megabytes"] < 2
