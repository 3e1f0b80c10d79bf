"""The main job: ``raynas.search`` on a cluster, extended and misused."""

import errno
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from safetensors.torch import load_file
from torch import nn

import raynas
from raynas import Architecture
from raynas.core.archive import Archive
from raynas.errors import ArchiveError, InfeasibleError, RaynasError
from raynas.run.study import Study
from raynas.strategies import Asha, LocalSearch, RandomSearch, RegularizedEvolution
from tests.run.widths import Widths


def score(model: nn.Module, config: Mapping[str, Any]) -> float:
    """More width, more accuracy."""
    return float(sum(config["arch"].values()) / 48)


def epochs(model: nn.Module, config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    for epoch in range(1, 10):
        yield {"accuracy": epoch / 10 * sum(config["arch"].values()) / 48}


def fails_for_some(model: nn.Module, config: Mapping[str, Any]) -> float:
    width = config["arch"]["width_0"]
    if width == 1:
        raise RuntimeError("width 1 is unlucky")
    return float("nan") if width == 2 else 0.5


def run(folder: Path, trainable: Any = score, strategy: Any = None, **arguments: Any) -> raynas.SearchResult:
    quiet = dict.fromkeys(("progress", "tensorboard", "leave_report"), False)
    settings: dict[str, Any] = {"num_samples": 6, "max_concurrent": 1, **quiet}
    return raynas.search(
        Widths(),
        trainable,
        strategy or RegularizedEvolution(population_size=3, tournament_size=2),
        run_config=tune.RunConfig(storage_path=str(folder), name="search"),
        **settings | arguments,
    )


def trajectory(result: raynas.SearchResult) -> list[tuple[Any, ...]]:
    return [(e.trial, e.arch, e.status, e.fidelity, e.metrics.get("accuracy")) for e in result.evaluations]


def slow_if_wide(model: nn.Module, config: Mapping[str, Any]) -> float:
    time.sleep(0.02 * config["arch"]["width_0"])
    return score(model, config)


def test_time_of_training_is_an_objective(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, slow_if_wide, RandomSearch(), objectives=["accuracy", "train_seconds"], num_samples=8)
    seconds = [e.metrics["train_seconds"] for e in result.pareto_front()]
    assert seconds == sorted(seconds, reverse=True) and len(seconds) > 1
    assert min(e.metrics["train_seconds"] for e in result.full) == seconds[-1]


def test_finds_the_best_and_says_what_became_of_the_trials(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, num_samples=10, metrics=["latency_ms"], tensorboard=True, leave_report=True)
    best = max(result.evaluations, key=lambda e: e.metrics["accuracy"])
    assert result.best() == best
    assert {"params", "macs", "latency_ms", "train_seconds", "peak_memory_mb"} <= set(best.metrics)
    assert result.counts["finished"] == 10 and not result.interrupted
    assert len({e.arch for e in result.evaluations}) == 10
    assert len(result.to_frame()) == 10
    left = {path.relative_to(tmp_path / "search").as_posix() for path in (tmp_path / "search").rglob("*")}
    assert {"tensorboard", "summary.txt", "summary.json", "pareto_params.png", "pareto_latency_ms.png"} <= left
    assert {"best/architecture.json", "best/weights.safetensors"} <= left
    weights = load_file(tmp_path / "search" / "best" / "weights.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in result.best_model().state_dict().items())


def test_early_stopping_stops_and_the_best_is_fully_trained(ray_cluster: None, tmp_path: Path) -> None:
    strategy = RandomSearch(early_stopping=Asha(grace_period=1, reduction_factor=3))
    result = run(tmp_path, epochs, strategy, num_samples=9)
    assert result.counts["stopped"] > 0
    assert result.counts["finished"] > 0
    assert result.best().fidelity == 9
    assert all(e.fidelity < 9 for e in result.evaluations if e.status == "stopped")


def test_a_larger_budget_extends_a_finished_search(ray_cluster: None, tmp_path: Path) -> None:
    strategy = RegularizedEvolution(population_size=3, tournament_size=2, early_stopping=Asha())
    uninterrupted = run(tmp_path / "whole", epochs, strategy, num_samples=8)
    first = run(tmp_path / "parts", epochs, strategy, num_samples=3)
    extended = run(tmp_path / "parts", epochs, strategy, num_samples=8)
    assert trajectory(extended)[:3] == trajectory(first)
    assert trajectory(extended) == trajectory(uninterrupted)
    again = run(tmp_path / "parts", epochs, strategy, num_samples=8)
    assert trajectory(again) == trajectory(uninterrupted)


def test_another_strategy_goes_on_from_what_was_found(ray_cluster: None, tmp_path: Path) -> None:
    run(tmp_path, strategy=RandomSearch(), num_samples=4)
    result = run(tmp_path, strategy=LocalSearch(), num_samples=8)
    assert len({e.arch for e in result.evaluations}) == 8


def test_failures_are_told_in_one_line_and_the_search_goes_on(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, fails_for_some, RandomSearch(), num_samples=12)
    failed = [e for e in result.evaluations if e.status == "failed"]
    assert result.counts["finished"] == 12 - len(failed)
    assert any("width 1 is unlucky" in e.error for e in failed), failed
    assert any("accuracy" in e.error for e in failed if "unlucky" not in e.error)
    assert all("\n" not in e.error and e.error for e in failed)


def test_a_search_in_which_all_fails_says_why(ray_cluster: None, tmp_path: Path) -> None:
    def always(model: nn.Module, config: Mapping[str, Any]) -> float:
        raise ValueError("no luck at all")

    result = run(tmp_path, always, num_samples=2)
    with pytest.raises(RaynasError, match=r"2 failed.*no luck at all"):
        result.best()


def test_refused_before_a_trial_starts(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, constraints="params <= 60", strategy=RandomSearch(), num_samples=8)
    assert all(e.metrics["params"] <= 60 for e in result.evaluations)
    assert result.counts["refused"] > 0


def test_limits_relative_to_a_baseline(ray_cluster: None, tmp_path: Path) -> None:
    baseline = {"width_0": 4, "width_1": 4, "width_2": 4}
    result = run(tmp_path, constraints=["params <= 1.0 * baseline", "accuracy >= baseline"], baseline=baseline)
    assert result.evaluations[0].arch == Architecture(baseline)
    limit = result.evaluations[0].metrics["params"]
    assert all(e.metrics["params"] <= limit for e in result.evaluations)
    assert result.best().metrics["accuracy"] >= result.evaluations[0].metrics["accuracy"]


def test_hyperparameters_are_searched_jointly(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, hyperparameters={"lr": tune.loguniform(1e-4, 1e-1), "batch_size": tune.choice([8, 16])})
    assert len({e.hyperparameters["lr"] for e in result.evaluations}) >= 3  # those of the first population
    assert len({(e.arch, *e.hyperparameters.values()) for e in result.evaluations}) == 6
    assert {e.hyperparameters["batch_size"] for e in result.evaluations} <= {8, 16}
    assert all(set(e.arch) == {"width_0", "width_1", "width_2"} for e in result.evaluations)


def test_several_objectives_give_a_front(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, objectives=["accuracy", "params"], num_samples=10)
    front = result.pareto_front()
    assert front
    for member in front:
        for other in result.evaluations:
            better = other.metrics["accuracy"] > member.metrics["accuracy"]
            assert not (better and other.metrics["params"] < member.metrics["params"])


def test_an_exhausted_space_ends_the_search(ray_cluster: None, tmp_path: Path) -> None:
    result = run(tmp_path, constraints="params <= 14", strategy=RandomSearch(), num_samples=100)
    assert result.ended_because
    assert 0 < len(result.evaluations) < 100 and not result.interrupted


def test_infeasible_constraints_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"none of \d+ architectures, .*, meets params <= 3; the closest has"):
        run(tmp_path, constraints="params <= 3")


def test_two_searches_are_not_mixed(ray_cluster: None, tmp_path: Path) -> None:
    run(tmp_path, num_samples=1)
    changes: dict[str, dict[str, Any]] = {
        "objectives": {"objectives": "loss"},
        "constraints": {"constraints": "params <= 1000"},
    }
    for what, change in changes.items():
        with pytest.raises(ArchiveError, match=rf"holds a search with {what}.*choose another name"):
            run(tmp_path, **change)
    with pytest.raises(ArchiveError, match=r"the source of epochs in test_search.py is new.*or another name"):
        run(tmp_path, epochs)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "search").touch()
    with pytest.raises(ArchiveError, match="choose another folder"):
        run(tmp_path)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="trainable must be"):
        raynas.search(Widths(), "training")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_samples"):
        raynas.search(Widths(), score, num_samples=0)
    with pytest.raises(ValueError, match="cannot read constraint"):
        raynas.search(Widths(), score, constraints="params == 3")


def test_generations_make_a_search_independent_of_the_number_at_a_time(ray_cluster: None, tmp_path: Path) -> None:
    one, two = (run(tmp_path / str(n), max_concurrent=n, num_samples=9, generation_size=3) for n in (1, 2))
    assert sorted(trajectory(one)) == sorted(trajectory(two))
    assert len(one.evaluations) == 9
    assert one.archive.events("session")[0]["generation_size"] == 3


def test_a_full_disk_ends_the_search_in_one_line_and_loses_nothing(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = run(tmp_path / "whole")
    write = Archive._write

    def full(archive: Archive, record: dict[str, Any]) -> None:
        if len(archive) >= 8:
            monkeypatch.setattr("os.fsync", _no_space)
        write(archive, record)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "_write", full)
        with pytest.raises(ArchiveError, match=r"No space left.*free some space and run the same command again"):
            run(tmp_path / "full")
    monkeypatch.undo()
    assert 0 < len(Archive.load(tmp_path / "full" / "search" / "archive.jsonl").evaluations) < 6
    assert trajectory(run(tmp_path / "full")) == trajectory(uninterrupted)


def _no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_refused_search_does_not_take_its_name(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError):
        run(tmp_path, constraints="params <= 3")
    assert len(run(tmp_path, constraints="params <= 300", num_samples=1).evaluations) == 1


def test_a_search_and_a_study_continue_each_other(ray_cluster: None, tmp_path: Path) -> None:
    def study(n: int) -> Study:
        return Study(Widths(), tmp_path / "search", RandomSearch(), num_samples=n)

    outside, *still_open = study(3).propose(3)
    study(3).observe(outside.trial, {"accuracy": 0.99})
    with pytest.raises(ArchiveError, match=r"1 evaluation made otherwise: the trainable was .*on_change=continue"):
        run(tmp_path, strategy=RandomSearch(), num_samples=4)
    result = run(tmp_path, strategy=RandomSearch(), num_samples=4, on_change="continue")
    assert result.evaluations[0].metrics["accuracy"] == 0.99  # as it was observed, not trained again
    found = {e.trial: e for e in result.evaluations}
    assert len(found) == 4 and all(found[p.trial].arch == p.arch for p in still_open)
    trained = [sum(map(int, p.arch.values())) / 48 for p in still_open]
    assert [found[p.trial].metrics["accuracy"] for p in still_open] == trained
    (mine,) = study(5).propose(2)
    study(5).observe(mine.trial, {"accuracy": 0.98})
    extended = run(tmp_path, strategy=RandomSearch(), num_samples=6)  # a study takes over how trials scored
    assert [e.metrics["accuracy"] for e in extended.evaluations if e.trial == mine.trial] == [0.98]
    assert len({e.arch for e in extended.evaluations}) == 6 and not extended.interrupted
