"""The report: its facts, its text in 80 columns, its files."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console

from raynas.core.archive import Archive
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.metrics import read_goal
from raynas.search_spaces import CNN, MLP
from raynas.views.report import Comparison, Summary, render, summarise, write
from raynas.views.report.text import as_text, readable

Trial = tuple[str, int, float, float, float]
"""Status, epochs, accuracy, latency_ms, params."""

TRIALS: tuple[Trial, ...] = (
    ("finished", 9, 0.90, 2.0, 20_000),
    ("finished", 9, 0.95, 4.0, 30_000),
    ("finished", 9, 0.85, 1.0, 40_000),
    ("finished", 9, 0.80, 3.0, 50_000),
    ("stopped", 3, 0.99, 1.0, 10_000),
    ("failed", 0, 0.0, 0.0, 0.0),
)


def searched(
    trials: Iterable[Trial] = TRIALS,
    objectives: str | tuple[str, ...] = "accuracy",
    constraints: str | tuple[str, ...] = (),
    refused: int = 0,
    path: Path = Path("results/name"),
) -> SearchResult:
    """What a search would give that had these trials."""
    archive = Archive()
    architectures = MLP().enumerate()
    for i, (status, epochs, accuracy, latency, params) in enumerate(trials, 1):
        trial, config = f"{i:05d}", {"arch": next(architectures).to_config(), "lr": 0.1 * i}
        archive.append("proposed", trial=trial, config=config, costs={})
        metrics = {"accuracy": accuracy, "latency_ms": latency, "params": params} if status != "failed" else {}
        error = "epoch 1: it broke" if status == "failed" else ""
        archive.append("ended", trial=trial, status=status, fidelity=epochs, metrics=metrics, error=error)
    for _ in range(refused):
        archive.append("refused", config={"arch": next(architectures).to_config()}, metrics={}, reason="too large")
    return SearchResult(space=MLP(), goal=read_goal(objectives, constraints), archive=archive, path=path)


def summary_of(result: SearchResult, random: SearchResult | None = None) -> Summary:
    return summarise(
        result,
        title="mlp on digits, evolution + asha",
        random=random,
        retrained={"test_accuracy": 0.93, "test_loss": 0.2, "epochs": 30},
        notes=["A note."],
        files={"archive": "results/name/" + 80 * "x" + "/archive.jsonl"},
        commands={"look closer": "tensorboard --logdir results/name/tensorboard"},
    )


# --- facts -----------------------------------------------------------------------------------------------------------


def test_only_what_was_fully_trained_counts() -> None:
    summary = summary_of(searched())
    assert summary.best and summary.best.metrics["accuracy"] == 0.95
    assert summary.counts == {"finished": 4, "stopped": 1, "failed": 1, "refused": 0, "duplicates": 0}
    assert [e.metrics["latency_ms"] for e in summary.fronts["latency_ms"]] == [4.0, 2.0, 1.0]
    assert [e.metrics["params"] for e in summary.fronts["params"]] == [30_000, 20_000]
    assert summary.feasible_share is None


def test_constraints() -> None:
    summary = summary_of(searched(constraints=("latency_ms <= 3", "params <= 4.5e4"), refused=2))
    assert summary.best and summary.best.metrics["accuracy"] == 0.90
    assert summary.feasible_share == pytest.approx(6 / 8)
    assert summary.n_violating == 2
    assert [e.metrics["latency_ms"] for e in summary.fronts["latency_ms"]] == [2.0, 1.0]


def test_of_several_objectives_the_first_decides() -> None:
    summary = summary_of(searched(objectives=("accuracy", "latency_ms")))
    assert summary.best and summary.best.metrics["accuracy"] == 0.95


def test_an_objective_that_is_minimised() -> None:
    result = searched(objectives="latency_ms")
    random = searched([("finished", 9, 0.9, 1.5, 1.0)], objectives="latency_ms")
    summary = summary_of(result, random)
    assert list(summary.fronts) == ["params"]
    assert [e.metrics["latency_ms"] for e in summary.fronts["params"]] == [1.0, 2.0]
    assert summary.comparison and summary.comparison.difference == 0.5


def test_no_result() -> None:
    summary = summary_of(searched([("failed", 0, 0.0, 0.0, 0.0)]))
    assert summary.best is None and "epoch 1: it broke" in summary.why_none
    assert summary.fronts == {}


# --- the comparison --------------------------------------------------------------------------------------------------


def test_epochs_are_told_of_both() -> None:
    comparison = summary_of(searched(), searched(TRIALS[:2])).comparison
    assert comparison
    assert (comparison.n_trials, comparison.n_random_trials) == (6, 2)
    assert (comparison.epochs, comparison.random_epochs) == (39, 18)


@pytest.mark.parametrize(
    ("found", "random", "told"),
    [
        (0.9, 0.8, "better by 0.1 accuracy"),
        (0.8, 0.9, "NOT better than random search: it is worse by 0.1 accuracy"),
        (0.9, 0.9, "NOT better than random search: both reached the same"),
        (None, 0.9, "NOT better"),
        (0.9, None, "Random search found nothing"),
    ],
)
def test_verdicts(found: float | None, random: float | None, told: str) -> None:
    comparison = Comparison(
        metric="accuracy",
        mode="max",
        found=found,
        random=random,
        n_trials=9,
        n_random_trials=9,
        epochs=20,
        random_epochs=20,
    )
    assert told in comparison.verdict


# --- text ------------------------------------------------------------------------------------------------------------


def test_eighty_columns_but_for_what_is_copied() -> None:
    summary = summary_of(searched(constraints=("latency_ms <= 3", "params <= 4.5e4"), refused=2), searched())
    lines = as_text(summary).splitlines()
    assert all(len(line) <= 80 for line in lines if "/" not in line)
    assert any(line.endswith("/archive.jsonl") for line in lines)  # a path is never broken


def test_what_the_text_says() -> None:
    text = as_text(summary_of(searched(refused=1, constraints="params <= 4.5e4"), searched(TRIALS[:2])))
    for part in (
        "mlp on digits, evolution + asha",
        "Best architecture: trial 00002, 9 epochs",
        "layers.0      width",
        "lr            0.2",
        "test_accuracy  0.93",
        "this search       6              39",
        "NOT better than random search",
        "repeat both with other values of",
        "Pareto front of accuracy against latency_ms",
        "feasible      85.7% of the architectures proposed",
        "A note.",
        "tensorboard --logdir",
    ):
        assert part in text, part


def test_a_search_without_a_result_says_why() -> None:
    text = as_text(summary_of(searched([("failed", 0, 0.0, 0.0, 0.0)])))
    assert "No architecture was found" in text and "it broke" in text


def test_a_long_front_is_cut() -> None:
    trials: list[Trial] = [("finished", 9, 0.5 + i / 100, 1.0 + i, 10.0) for i in range(12)]
    text = as_text(summary_of(searched(trials)))
    assert "and 4 more, in summary.json" in text


def test_markup_in_names_is_text() -> None:
    summary = summarise(searched(), title="[bold]a[/bold]", notes=["[red]b[/red]"])
    assert "[bold]a[/bold]" in as_text(summary) and "[red]b[/red]" in as_text(summary)


def test_a_terminal_gets_colours() -> None:
    console = Console(width=80, force_terminal=True, record=True, quiet=True)
    render(summary_of(searched()), console)


def test_decisions_stand_by_parts_of_the_network() -> None:
    space = CNN(min_layers=2, max_layers=2, n_strides=1)
    arch = next(space.enumerate())
    assert [part for part, _ in readable(arch)] == ["n_layers", "layers.0", "layers.1"]
    assert readable(arch)[1][1] == "op conv, filters 16, kernel 3, activation relu, dropout 0.0"


# --- files -----------------------------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    result = searched()
    summary = summary_of(result, searched(TRIALS[:2]))
    write(summary, tmp_path, points={"search": result.full})
    assert (tmp_path / "summary.txt").read_text() == as_text(summary)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert summary.best and told["best"]["architecture"] == summary.best.arch.to_config()
    assert told["best"]["hyperparameters"] == {"lr": 0.2}
    assert len(told["fronts"]["latency_ms"]) == 3
    assert told["comparison"]["difference"] == 0.0 and "NOT better" in told["comparison"]["verdict"]
    for cost in ("latency_ms", "params"):
        assert (tmp_path / f"pareto_{cost}.png").read_bytes().startswith(b"\x89PNG")


def test_files_of_a_search_without_a_result(tmp_path: Path) -> None:
    write(summary_of(searched([("failed", 0, 0.0, 0.0, 0.0)])), tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["best"] is None
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="cannot write the report"):
        write(summary_of(searched()), tmp_path / "nowhere")
