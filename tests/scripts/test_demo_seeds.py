"""The demo against random search, on a budget that proves nothing."""

import json
import math
from pathlib import Path

import pytest

from scripts.bench.demo_seeds import interval, main


def test_a_small_run_is_continued(tmp_path: Path) -> None:
    small = ["--num_samples", "1", "--epochs", "1", "--retrain.epochs", "1"]
    argv = ["--results", str(tmp_path / "rows"), "--output", str(tmp_path / "table.md")]
    main(["--seeds", "100", "101", "--trainings", "2", *argv, "--", *small, "--constraints", "params <= 500"])
    row = json.loads((tmp_path / "rows" / "seed_0100.json").read_text())
    for side in ("search", "random"):
        assert row[side]["epochs"] == row[side]["trials"] == 1
        assert row[side]["params"] <= 500 and 0 < row[side]["test_accuracy"] < 1
        assert len(row[side]["tests"]) == 2
    row["seed"], row["random"]["test_accuracy"] = 101, row["search"]["test_accuracy"] - 0.01
    (tmp_path / "rows" / "seed_0101.json").write_text(json.dumps(row))
    (tmp_path / "rows" / "seed_0100.json").write_text(json.dumps({**row, "seed": 100}))
    main(["--seeds", "100", "102", *argv, "--", *small])
    text = (tmp_path / "table.md").read_text()
    assert "difference +1.00 points, 95 % interval ± 0.00" in text
    assert text.count("\n| 10") == 2 and "1 epoch of the final training" in text


def test_the_interval_is_that_of_students_t() -> None:
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert interval([1.0]) == (1.0, math.inf)
