"""A search that is killed, twice and in different ways, goes on."""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from torch import nn

import raynas
from raynas.core.archive import Archive
from raynas.search_spaces import CNN
from raynas.strategies import Asha, RegularizedEvolution
from tests import own_cluster


def train(model: nn.Module, config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    for epoch in range(1, 5):
        time.sleep(0.05)
        yield {"accuracy": epoch / 10 + len(config["arch"]) / 100}


def search(folder: str | Path) -> int:
    """Search; return the exit code of a process that does nothing else."""
    result = raynas.search(
        CNN(input_shape=(1, 8, 8)),
        train,
        RegularizedEvolution(population_size=3, tournament_size=2, early_stopping=Asha()),
        num_samples=14,
        max_concurrent=1,
        progress=False,
        run_config=tune.RunConfig(storage_path=str(folder), name="search"),
    )
    return 130 if result.interrupted else 0


@pytest.mark.own_cluster
@pytest.mark.timeout(900)  # 40 s of CPU time, in three processes one after another
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_killed_search_goes_on_as_if_nothing_had_happened(ray_cluster: None, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    archive, summary = (killed / "search" / name for name in ("archive.jsonl", "summary.json"))
    before: list[tuple[Any, ...]] = []
    for how, n_ended, code in ((signal.SIGKILL, 3, -9), (signal.SIGTERM, 6, 130)):
        with own_cluster.running(__file__, "search", killed) as process:
            own_cluster.wait_until(partial(has_ended, archive, n_ended), process)
            process.send_signal(how)
            assert process.wait(timeout=60) == code
        with archive.open("ab") as file:
            file.write(b'{"event": "ended", "tri')  # what a kill in the middle of a line leaves
        ended = evaluated(killed)
        assert n_ended <= len(ended) < 14 and ended[: len(before)] == before
        before = ended
    told = json.loads(summary.read_text())  # after SIGTERM
    assert told["interrupted"] and told["commands"]["continue"] == "the same call"
    with own_cluster.running(__file__, "search", killed) as process:
        assert process.wait(timeout=200) == 0
    assert not json.loads(summary.read_text())["interrupted"]
    assert search(whole) == 0
    assert evaluated(killed) == evaluated(whole)
    assert evaluated(killed)[: len(before)] == before


def has_ended(archive: Path, n_trials: int) -> bool:
    return archive.exists() and archive.read_text().count('"ended", "trial"') >= n_trials


def evaluated(folder: Path) -> list[tuple[Any, ...]]:
    evaluations = Archive.load(folder / "search" / "archive.jsonl").evaluations
    return [(e.trial, e.arch, e.status, e.fidelity, e.metrics["accuracy"]) for e in evaluations]
