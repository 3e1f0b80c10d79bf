"""A metric added from outside: energy, made up from multiply-adds and parameters."""

import io
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import tune
from rich.console import Console
from torch import nn

import raynas
from raynas import Candidate, Choice, Metric, ModelSpace
from raynas.core.archive import Archive
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import InfeasibleError
from raynas.metrics import read_goal
from raynas.metrics.expected_cost import fit_cost_table
from raynas.oneshot.differentiable import ExpectedCost
from raynas.run.simulate import drive
from raynas.strategies import RandomSearch
from raynas.trials.table import Table
from raynas.views.progress import ProgressCallback
from raynas.views.report import summarise, write
from raynas.views.report.text import as_text
from raynas.views.tensorboard import TensorBoardCallback
from tests.views.tensorboard.logs import hparams_page, scalars


def energy(candidate: Candidate) -> float:
    return 0.5 * candidate.macs + 0.25 * candidate.params


ENERGY = Metric(name="energy_mj", mode="min", unit="mJ", title="energy", measure=energy)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({str(k): partial(nn.Conv2d, 1, 2, k, padding=k // 2) for k in (1, 3, 5)})
        self.last = Choice({"linear": lambda: nn.Linear(2, 3), "free": lambda: nn.Linear(2, 3, bias=False)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).mean((2, 3)))  # type: ignore[no-any-return]


SPACE = ModelSpace(Net, input_shape=(1, 4, 4))


def joules(arch: Mapping[str, Any]) -> float:
    kernel, bias = int(arch["first"]) ** 2, 3 * int(arch["last"] == "linear")
    return 0.5 * (16 * 2 * (kernel + 1) + 6 + bias) + 0.25 * (2 * (kernel + 1) + 6 + bias)


def accuracy(model: nn.Module, config: Mapping[str, Any]) -> float:
    return 0.5 + int(config["arch"]["first"]) / 10


def searched(folder: Path, **asked: Any) -> raynas.SearchResult:
    settings: dict[str, Any] = {"metrics": [ENERGY], "num_samples": 4, "max_concurrent": 1, "progress": False, **asked}
    where = tune.RunConfig(storage_path=str(folder), name="search")
    return raynas.search(SPACE, accuracy, RandomSearch(), run_config=where, **settings)


@pytest.fixture(scope="module")
def result(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> raynas.SearchResult:
    """One search with the metric as objective, hard and soft constraint."""
    limits = ["energy_mj <= 250", "energy_mj <= 30 soft"]
    return searched(tmp_path_factory.mktemp("energy"), objectives=["accuracy", "energy_mj"], constraints=limits)


def test_it_is_measured_in_trials_and_refuses_before_them(result: raynas.SearchResult) -> None:
    assert result.evaluations
    for evaluation in result.evaluations:
        assert evaluation.metrics["energy_mj"] == joules(evaluation.arch) <= 250
        assert evaluation.arch["first"] != "5"
    assert result.counts["refused"] and "energy_mj = " in result.archive.events("refused")[0]["reason"]
    cheapest = min(result.evaluations, key=lambda e: e.metrics["energy_mj"])
    assert cheapest in result.pareto_front(("accuracy", "energy_mj"))


def test_a_soft_constraint_counts(result: raynas.SearchResult) -> None:
    (evaluation, *_) = [e for e in result.evaluations if e.arch["first"] == "3"]
    factor = (evaluation.metrics["energy_mj"] / 30) ** -0.07
    assert result.goal.scores(evaluation)[0] == pytest.approx(evaluation.metrics["accuracy"] * factor)
    assert result.goal.scores(evaluation)[1] < -evaluation.metrics["energy_mj"]


def test_it_is_in_the_report(result: raynas.SearchResult, tmp_path: Path) -> None:
    summary = summarise(result, title="energy")
    assert "energy_mj" in summary.fronts
    text = as_text(summary)
    assert " mJ" in text and "Pareto front of accuracy against energy_mj" in text
    write(summary, tmp_path)
    assert (tmp_path / "pareto_energy_mj.png").exists()


def test_it_is_in_tensorboard(result: raynas.SearchResult) -> None:
    logs = result.path / "tensorboard"
    best = min(e.metrics["energy_mj"] for e in result.evaluations)
    assert scalars(logs / "search", "search/best_energy_mj")[-1][1] == pytest.approx(best)
    first = result.evaluations[0]
    assert scalars(logs / "trials" / first.trial, "trial/energy_mj")[-1][1] == first.metrics["energy_mj"]
    experiment, groups = hparams_page(logs)
    assert "energy_mj" in {info.display_name for info in experiment.metric_infos}
    shown = {value.name.tag: value.value for value in groups[f"trials/{first.trial}"].metric_values}
    assert shown["trial/energy_mj"] == first.metrics["energy_mj"]


def seen(goal: Any, archive: Archive, folder: Path) -> str:
    """The progress table of a search with a trial that has ended and one that runs; TensorBoard looks at it too."""
    searcher: ArchitectureSearcher = RandomSearch().searcher(SPACE, goal, costs={}, archive=archive)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    callbacks = [ProgressCallback(searcher, 9, console), TensorBoardCallback(searcher, folder)]
    first, second = (searcher.suggest(str(i)) for i in range(2))
    searcher.on_trial_complete("0", {"accuracy": 0.9, "energy_mj": 12.3, "training_iteration": 1})
    searcher.on_trial_result("1", {"accuracy": 0.8, "energy_mj": 45.6, "training_iteration": 1})
    assert first != second
    for callback in callbacks:
        callback.on_step_end(0, [])
        callback.on_experiment_end([])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("asked", ["objective", "constraint", "watched"])
def test_it_is_in_the_progress_table(asked: str, tmp_path: Path) -> None:
    objectives = ["accuracy", "energy_mj"] if asked == "objective" else "accuracy"
    constraints = "energy_mj <= 99 soft" if asked == "constraint" else ()
    text = seen(read_goal(objectives, constraints, [ENERGY]), Archive(), tmp_path)
    assert "energy 12.3 mJ" in text and "45.6 mJ" in text


def test_a_metric_that_is_only_watched_is_measured_and_shown(ray_cluster: None, tmp_path: Path) -> None:
    result = searched(tmp_path, num_samples=2)
    assert [e.metrics["energy_mj"] for e in result.evaluations] == [joules(e.arch) for e in result.evaluations]
    assert " mJ" in as_text(summarise(result, title="energy"))


def test_a_limit_that_nothing_meets_is_refused_at_once(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="energy_mj"):
        searched(tmp_path, constraints="energy_mj <= 1")
    relative = searched(
        tmp_path, constraints="energy_mj <= baseline", baseline={"first": "1", "last": "free"}, num_samples=1
    )
    assert str(relative.goal.constraints[0]) == f"energy_mj <= {joules({'first': '1', 'last': 'free'}):g}"


def test_it_is_an_expected_cost() -> None:
    cost = ExpectedCost(metric=ENERGY, target=100.0)
    assert cost.name == "energy_mj"
    table = cost.table(SPACE, 0)
    assert table.error == 0, "energy adds up over the choices"
    for arch in map(SPACE.sample, [np.random.default_rng(i) for i in range(5)]):
        index = {d.name: d.options.index(arch[d.name]) for d in SPACE.decisions}
        assert math.isclose(table.of(index), joules(arch), rel_tol=1e-6)
    assert fit_cost_table(SPACE, ENERGY).base == table.base


def test_it_is_scored_in_bulk() -> None:
    archs = [{"first": k, "last": "free"} for k in ("1", "3")]
    scores: list[Metric | list[Metric | str]] = [ENERGY, [ENERGY, "params"]]
    for score in scores:
        found = list(raynas.score_many(SPACE, archs, score, workers=0))
        assert [e.metrics["energy_mj"] for e in found] == list(map(joules, archs))


def test_it_is_known_in_simulated_time() -> None:
    points = [SPACE.canonical({"first": k, "last": last}) for k in ("1", "3", "5") for last in ("linear", "free")]
    values = {"accuracy": np.array([[accuracy(nn.Identity(), {"arch": p})] for p in points])}
    table = Table("energy", {p: i for i, p in enumerate(points)}, {**values, "train_seconds": values["accuracy"]}, (1,))
    (trajectory,) = drive(
        RandomSearch(), table, SPACE, 4, objectives=["accuracy", "energy_mj"], constraints="energy_mj <= 250",
        metrics=[ENERGY],
    )  # fmt: skip
    assert [e.metrics["energy_mj"] for e in trajectory.evaluations] == [joules(e.arch) for e in trajectory.evaluations]
    assert all(e.arch["first"] != "5" for e in trajectory.evaluations) and trajectory.evaluations
