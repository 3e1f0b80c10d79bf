"""A training to the end from the command line."""

from pathlib import Path

import pytest
from rich.console import Console

from raynas.cli.retrain_request import read_retrain
from raynas.cli.retrain_run import run_retraining
from raynas.run.best import keep
from raynas.search_spaces import MLP
from raynas.trials import Training


@pytest.mark.parametrize(("workers", "starts"), [(1, 0), (2, 1)])
def test_ray_is_started_for_workers_alone(
    workers: int, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(next(MLP().enumerate()), tmp_path, MLP(), Training())
    started: list[int] = []
    monkeypatch.setattr("raynas.cli.retrain_run.start_ray", lambda: started.append(workers))
    monkeypatch.setattr("raynas.cli.retrain_run.train", lambda *arguments: {"test_accuracy": 0.5, "workers": workers})
    request = read_retrain([str(tmp_path / "architecture.json"), "--trainable.workers", str(workers)])
    answer = run_retraining(request, Console())
    assert answer.metrics["workers"] == workers and len(started) == starts
