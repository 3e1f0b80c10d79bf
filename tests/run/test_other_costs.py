"""Costs beyond the usual ones as objectives and limits of a search, from its arguments to its report."""

import json
from pathlib import Path

from ray import tune

import raynas
from raynas.metrics import untrained_metrics
from raynas.strategies import RegularizedEvolution
from tests.run.widths import Widths

COSTS = ("activations", "inference_memory_mb", "size_mb")


def score(model: object, config: dict[str, dict[str, int]]) -> float:
    return sum(config["arch"].values()) / 48


def test_activations_memory_and_size(ray_cluster: None, tmp_path: Path) -> None:
    space = Widths()
    costs = untrained_metrics(space, COSTS)
    largest = max(space.enumerate(), key=lambda arch: sum(map(int, arch.values())))
    limits = [f"{name} <= {0.4 * costs[name](largest)}" for name in COSTS[:2]]
    result = raynas.search(
        space,
        score,
        RegularizedEvolution(population_size=4, tournament_size=2),
        objectives=["accuracy", "size_mb"],
        constraints=limits,
        num_samples=6,
        progress=False,
        tensorboard=False,
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="search"),
    )
    assert len(result.full) == 6 and result.counts["refused"] > 0
    for e in result.full:
        assert e.metrics["size_mb"] == costs["size_mb"](e.arch)
        assert all(costs[name](e.arch) <= 0.4 * costs[name](largest) for name in COSTS[:2])
    assert [e.metrics["size_mb"] for e in result.pareto_front()] == sorted(
        (e.metrics["size_mb"] for e in result.pareto_front()), reverse=True
    )
    assert "size_mb" in (tmp_path / "search" / "summary.txt").read_text()
    assert "size_mb" in json.loads((tmp_path / "search" / "summary.json").read_text())["best"]["metrics"]
