"""A funnel for real, on a cluster: proxies and training on digits, killed in the second stage and run again."""

from pathlib import Path
from typing import Any

import pytest
from ray import tune

import raynas
from raynas import FunnelResult, FunnelStage
from raynas.core.archive import Archive
from raynas.search_spaces import CNN
from raynas.trials import Training, ZeroCost
from tests import own_cluster


def funnel(folder: str | Path) -> FunnelResult:
    return raynas.funnel(
        CNN(input_shape=(1, 8, 8), max_layers=3),
        [
            FunnelStage(ZeroCost(bulk=4), n=8, objectives="synflow"),
            FunnelStage(Training(epochs=2, data_fraction=0.2), n=3),
        ],
        constraints="params <= 40000",
        max_concurrent=1,
        progress=False,
        run_config=tune.RunConfig(storage_path=str(folder), name="funnel"),
    )


@pytest.mark.own_cluster
def test_a_killed_funnel_goes_on_where_it_was(ray_cluster: None, tmp_path: Path) -> None:
    first, second = (tmp_path / "funnel" / name / "archive.jsonl" for name in ("1-zero_cost", "2-train"))
    with own_cluster.running(__file__, "funnel", tmp_path) as process:
        own_cluster.wait_until(lambda: second.exists() and '"result"' in second.read_text(), process)
    scores, trained = evaluated(first), evaluated(second)
    assert len(scores) == 8 and len(trained) < 3

    found = funnel(tmp_path)
    assert not found.interrupted
    assert evaluated(first) == scores
    assert evaluated(second)[: len(trained)] == trained
    ranked = sorted(found.stages[0].result.evaluations, key=lambda e: -e.metrics["synflow"])
    assert [e.arch for e in found.stages[0].survivors] == [e.arch for e in ranked[:3]]
    assert {e.arch for e in found.stages[1].result.full} == {e.arch for e in ranked[:3]}
    assert all(e.fidelity == 2 for e in found.last.full)
    assert all(e.metrics["params"] <= 40_000 for at in found.stages for e in at.result.evaluations)
    left = {path.name for path in (tmp_path / "funnel" / "best").iterdir()}
    assert left == {"architecture.json", "retrain.yaml", "weights.safetensors"}
    assert (tmp_path / "funnel" / "summary.txt").is_file()
    assert found.best() == found.last.goal.near_ties(found.last.full)[0]
    assert found.stages[1].epochs == 6 and found.stages[0].epochs == 0
    assert found.stages[1].correlation is not None and found.stages[1].correlation.n == 3
    assert {"funnel.txt", "funnel.json", "funnel.png"} <= {path.name for path in (tmp_path / "funnel").iterdir()}


def evaluated(archive: Path) -> list[tuple[Any, ...]]:
    found = Archive.load(archive).evaluations
    return [(e.trial, e.arch, e.status, e.fidelity, e.metrics) for e in found]
