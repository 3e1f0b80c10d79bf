"""A latency back end added from outside: it replaces the measurement of "latency_ms" wherever latency is asked for."""

import io
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from rich.console import Console
from torch import nn

import raynas
from raynas import Candidate, Choice, ModelSpace
from raynas.core.archive import Archive
from raynas.metrics import METRICS, Measurer, read_goal
from raynas.metrics.expected_cost import fit_cost_table
from raynas.oneshot.differentiable import ExpectedCost
from raynas.strategies import RandomSearch
from raynas.trials import Function
from raynas.views.progress import ProgressCallback
from raynas.views.report import summarise
from raynas.views.report.text import as_text
from tests.views.tensorboard.logs import hparams_page, scalars


def board(candidate: Candidate) -> float:
    """A board that takes a millisecond for each kernel weight, and divides it among its threads."""
    assert candidate.model(candidate.example()).shape == (1, 3)
    kernel = candidate.model.get_parameter("first.weight").shape[-1]
    return kernel**2 / candidate.n_threads


BOARD = replace(METRICS["latency_ms"], measure=board)
KERNELS = (1, 3, 5, 7, 9, 11)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({str(k): partial(nn.Conv2d, 1, 2, k, padding=k // 2) for k in KERNELS})
        self.last = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).mean((2, 3)))  # type: ignore[no-any-return]


SPACE = ModelSpace(Net, input_shape=(1, 4, 4))


def accuracy(model: nn.Module, config: Mapping[str, Any]) -> float:
    return int(config["arch"]["first"]) / 20


def milliseconds(arch: Mapping[str, Any]) -> float:
    return int(arch["first"]) ** 2 / 2  # two threads


def no_stopwatch(*args: Any, **options: Any) -> float:
    raise AssertionError("latency is measured in another way")


@pytest.fixture(scope="module")
def result(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> raynas.SearchResult:
    """One search with the back end as objective, hard and soft constraint, on two threads."""
    return raynas.search(
        SPACE,
        Function(fn=accuracy, latency_threads=2),
        RandomSearch(),
        objectives=["accuracy", "latency_ms"],
        constraints=["latency_ms <= 30", "latency_ms <= 5 soft"],
        metrics=[BOARD],
        num_samples=4,
        max_concurrent=1,
        progress=False,
        run_config=tune.RunConfig(storage_path=str(tmp_path_factory.mktemp("board")), name="search"),
    )


def test_it_measures_before_and_in_trials_with_the_threads_of_the_settings(result: raynas.SearchResult) -> None:
    assert result.evaluations
    for evaluation in result.evaluations:
        assert evaluation.metrics["latency_ms"] == milliseconds(evaluation.arch) <= 30
    refused = {record["config"]["arch"]["first"] for record in result.archive.events("refused")}
    assert refused <= {"9", "11"} and not {e.arch["first"] for e in result.evaluations} & {"9", "11"}


def test_a_soft_constraint_counts(result: raynas.SearchResult) -> None:
    for evaluation in result.evaluations:
        factor = (milliseconds(evaluation.arch) / 5) ** -0.07
        assert result.goal.scores(evaluation)[0] == pytest.approx(evaluation.metrics["accuracy"] * factor)


def test_it_is_in_report_and_tensorboard(result: raynas.SearchResult) -> None:
    text = as_text(summarise(result, title="board"))
    assert "Pareto front of accuracy against latency_ms" in text
    first = result.evaluations[0]
    assert f"{first.metrics['latency_ms']:.3g} ms" in text
    logs = result.path / "tensorboard"
    assert scalars(logs / "trials" / first.trial, "trial/latency_ms")[-1][1] == first.metrics["latency_ms"]
    assert scalars(logs / "search", "search/best_latency_ms")
    experiment, _ = hparams_page(logs)
    assert "latency_ms" in {info.display_name for info in experiment.metric_infos}


def test_it_is_in_the_progress_table() -> None:
    goal = read_goal(["accuracy", "latency_ms"], metrics=[replace(BOARD, unit="ms*", title="board")])
    searcher = RandomSearch().searcher(SPACE, goal, costs={}, archive=Archive())
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    progress = ProgressCallback(searcher, 9, console)
    searcher.suggest("0")
    searcher.on_trial_complete("0", {"accuracy": 0.9, "latency_ms": 12.5, "training_iteration": 1})
    progress.on_experiment_end([])
    assert isinstance(console.file, io.StringIO)
    assert "board 12.5 ms*" in console.file.getvalue()


def test_it_is_an_expected_cost_with_threads() -> None:
    tables = [ExpectedCost(metric=BOARD, target=1.0).table(SPACE, 0, n_threads=n) for n in (1, 2)]
    one, two = (table.of({"first": KERNELS.index(5)}) for table in tables)
    assert one == pytest.approx(25) and two == pytest.approx(12.5)
    assert fit_cost_table(SPACE, BOARD).of({"first": KERNELS.index(3)}) == pytest.approx(9)


def test_nothing_else_measures_latency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("raynas.metrics.latency.metric.time_deployment", no_stopwatch)
    arch = {"first": "7"}
    (found,) = raynas.score_many(SPACE, [arch], BOARD, workers=0)
    assert found.metrics["latency_ms"] == 49
    settings = Function(fn=accuracy, latency_threads=2)
    (scored,) = raynas.score_many(SPACE, [arch], settings, metrics=[BOARD], workers=0)
    assert scored.metrics["latency_ms"] == milliseconds(arch)
    assert settings.costs(SPACE, {"latency_ms": BOARD})["latency_ms"](SPACE.canonical(arch)) == milliseconds(arch)
    assert settings.evaluate(SPACE, arch, metrics=[BOARD])["latency_ms"] == milliseconds(arch)
    with pytest.raises(AssertionError, match="in another way"):
        Measurer(SPACE).value(METRICS["latency_ms"], SPACE.canonical(arch))
    assert "latency_ms" not in settings.evaluate(SPACE, arch), "nobody asked for it"
