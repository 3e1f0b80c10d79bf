"""The winner and the front are measured at the end of a search, and what breaks a limit then is not the result."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from torch import nn

import raynas
from raynas import Metric
from raynas.core.archive import Archive
from raynas.core.decision import Categorical, Decision
from raynas.core.measurement import Measured, Provenance, as_entry, provenance_of
from raynas.core.metric import Candidate
from raynas.errors import RaynasError
from raynas.metrics import read_goal
from raynas.run import final_measurement
from raynas.run.final_measurement import chosen
from raynas.strategies import GridSearch
from raynas.testing import run_trials
from raynas.views.report import broken_at_end
from tests.run.widths import Widths

QUIET: dict[str, Any] = dict.fromkeys(("progress", "tensorboard", "leave_report"), False)


class FewWidths(Widths):
    """27 of the networks."""

    @property
    def decisions(self) -> list[Decision]:
        return [Categorical(f"width_{i}", (2, 4, 16)) for i in range(3)]


def score(model: nn.Module, config: Mapping[str, Any]) -> float:
    return float(sum(config["arch"].values()) / 48)


def predicted(candidate: Candidate) -> float:
    """The sum of the widths: too small for networks that begin with a wide layer."""
    return float(sum(int(width) for width in candidate.arch.values()))


class Real:
    """Adds 10 for a first layer of 16; leaves the process and the network in a file."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "measured.txt"

    def __call__(self, candidate: Candidate) -> float:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {candidate.arch.key}\n")
        return predicted(candidate) + (10 if candidate.arch["width_0"] == 16 else 0)

    @property
    def calls(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []


def run(folder: Path, real: Any, **arguments: Any) -> raynas.SearchResult:
    size = Metric(
        name="size", mode="min", measure=predicted, final=Metric(name="real", mode="min", measure=real, needs="weights")
    )
    settings: dict[str, Any] = {
        "constraints": "size <= 30",
        "num_samples": 27,
        "metrics": [size],
        "progress": False,
        "leave_report": True,
        "tensorboard": False,
    }
    where = tune.RunConfig(storage_path=str(folder), name="search")
    return raynas.search(FewWidths(), score, GridSearch(), run_config=where, **settings | arguments)


@pytest.fixture(scope="module")
def ended(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[raynas.SearchResult, Real, Path]:
    folder = tmp_path_factory.mktemp("limits")
    real = Real(folder)
    return run(folder, real), real, folder


def test_a_winner_that_breaks_the_limit_makes_way_for_the_next(ended: Any) -> None:
    result, _, _ = ended
    best = result.best()
    assert best.arch["width_0"] != 16 and best.metrics["size"] == best.first["size"] == predicted(best)
    assert result.broken_at_end and all(e.arch["width_0"] == 16 for e in result.broken_at_end)
    better = [e for e in result.full if e.metrics["accuracy"] > best.metrics["accuracy"]]
    assert {e.trial for e in better} <= {e.trial for e in result.broken_at_end}


def test_each_is_measured_in_fresh_processes(ended: Any) -> None:
    result, real, _ = ended
    keys = [key for _, key in real.calls]
    measured = [e for e in result.full if e.first]
    assert 1 < len(measured) <= final_measurement.MAX_MEASURED
    assert sorted(keys) == sorted([e.arch.key for e in measured] * final_measurement.N_PROCESSES)
    assert str(os.getpid()) not in {process for process, _ in real.calls}


def test_report_and_table_have_both_figures(ended: Any) -> None:
    result, _, folder = ended
    text = (folder / "search" / "summary.txt").read_text()
    broken = result.goal.sort(e.as_searched for e in result.broken_at_end)[0]
    assert "size, measured again at the end" in text and "breaks the limit" in text
    assert f"the best of them, trial {broken.trial}, had" in " ".join(text.split())
    summary = json.loads((folder / "search" / "summary.json").read_text())
    assert {e["trial"] for e in summary["measured_at_end"]} == {e.trial for e in result.full if e.first}
    row = result.to_frame().set_index("trial").loc[broken.trial]
    assert row["size"] == row["first/size"] + 10


def test_the_archive_remembers_and_nothing_is_measured_twice(ended: Any) -> None:
    result, real, folder = ended
    n_calls = len(real.calls)
    again = run(folder, real, leave_report=False)
    assert again.best().trial == result.best().trial and len(real.calls) == n_calls
    read = Archive.load(folder / "search" / "archive.jsonl")
    assert [e.first for e in read.evaluations] == [e.first for e in result.evaluations]


def test_a_search_that_was_killed_before_is_measured_by_the_next(ended: Any, tmp_path: Path) -> None:
    result, _, folder = ended
    lines = (folder / "search" / "archive.jsonl").read_text().splitlines()
    (tmp_path / "search").mkdir()
    kept = [line for line in lines if json.loads(line)["event"] != "measured"]
    (tmp_path / "search" / "archive.jsonl").write_text("".join(f"{line}\n" for line in kept))
    real = Real(tmp_path)
    again = run(tmp_path, real, leave_report=False)
    assert again.best().trial == result.best().trial and real.calls


def test_a_front_is_measured_once_without_a_limit(ray_cluster: None, tmp_path: Path) -> None:
    real = Real(tmp_path)
    result = run(tmp_path, real, constraints=(), objectives=["accuracy", "size"], num_samples=10, leave_report=False)
    assert all(e.first for e in result.pareto_front())
    assert sorted(key for _, key in real.calls) == sorted(e.arch.key for e in result.full if e.first)


def test_nothing_is_measured_unless_the_goal_names_it(ray_cluster: None, tmp_path: Path) -> None:
    real = Real(tmp_path)
    result = run(tmp_path, real, constraints=(), num_samples=3, leave_report=False)
    assert not real.calls and not any(e.first for e in result.full)


def fails(candidate: Candidate) -> float:
    raise OSError("the device is off")


def test_a_measurement_that_fails_costs_a_warning(
    ray_cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        result = run(tmp_path, fails, num_samples=3)
    assert "the device is off" in caplog.text
    assert result.best().metrics["size"] <= 30 and not result.best().first
    assert "was not measured again" in " ".join((tmp_path / "search" / "summary.txt").read_text().split())


def timed(model: nn.Module, config: Mapping[str, Any]) -> dict[str, float]:
    return {"accuracy": 0.5, "latency_ms": 3.0}


def test_a_latency_that_a_function_reports_is_left_alone(ray_cluster: None, tmp_path: Path) -> None:
    where = tune.RunConfig(storage_path=str(tmp_path), name="search")
    objectives = ["accuracy", "latency_ms"]
    result = raynas.search(
        Widths(), timed, GridSearch(), objectives=objectives, num_samples=2, run_config=where, **QUIET
    )
    assert not any(e.first for e in result.full)


def test_a_measured_latency_is_measured_again(ray_cluster: None, tmp_path: Path) -> None:
    where = tune.RunConfig(storage_path=str(tmp_path), name="search")
    result = raynas.search(
        Widths(), score, GridSearch(), constraints="latency_ms <= 1000", num_samples=2, run_config=where, **QUIET
    )
    best = result.best()
    assert best.first["latency_ms"] != best.metrics["latency_ms"]
    assert best.provenance["latency_ms"].facts["backend"] == "eager"


def figure(value: float, doubt: str = "") -> dict[str, float]:
    return {"latency_ms": Measured(value, Provenance(doubt=doubt))}


def test_the_worst_of_the_reliable_figures_counts() -> None:
    goal = read_goal("accuracy", "latency_ms <= 5")
    busy = "the machine is busy"
    assert chosen([figure(4), figure(6, busy), figure(5)], goal) == {"latency_ms": 5}
    only_doubtful = chosen([figure(40, busy), figure(6, busy)], goal)
    assert only_doubtful == {"latency_ms": 6}
    assert provenance_of(only_doubtful)["latency_ms"].doubt == busy


class Doubtful(Real):
    """Is doubtful in the first process."""

    def __call__(self, candidate: Candidate) -> float:
        value = super().__call__(candidate)
        doubt = "busy" if len({process for process, _ in self.calls}) == 1 else ""
        return Measured(value + (100 if doubt else 0), Provenance(doubt=doubt))


def test_doubtful_figures_are_measured_again(ray_cluster: None, tmp_path: Path) -> None:
    real = Doubtful(tmp_path)
    result = run(tmp_path, real, constraints="size <= 1000", num_samples=2, leave_report=False)
    best = result.best()
    assert best.metrics["size"] < 100 and not best.provenance["size"].doubt
    processes = {process for process, key in real.calls if key == best.arch.key}
    assert len(processes) == final_measurement.N_PROCESSES + 1


def searched_without_ray() -> raynas.SearchResult:
    """All 27 networks, each within the limit by what was predicted."""
    size = Metric(name="size", mode="min", measure=predicted, final=True)
    goal = read_goal("accuracy", "size <= 48", [size])

    def result(config: Mapping[str, Any]) -> dict[str, Any]:
        total = float(sum(config["arch"].values()))
        entry = as_entry({"size": Measured(total, Provenance())})
        return {"accuracy": total / 48, "size": total, **entry, "training_iteration": 1}

    searcher = GridSearch().searcher(FewWidths(), goal, costs={})
    run_trials(searcher, result, 27)
    return raynas.SearchResult(FewWidths(), goal, searcher.archive, Path("nowhere"))


@pytest.mark.parametrize("n_broken", [0, 6, 12, 26, 27])
def test_no_network_that_breaks_a_limit_is_the_result(n_broken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of the best break it at the end; 4 are measured at least, 12 at most until one complies."""
    monkeypatch.setattr(final_measurement, "MAX_MEASURED", 4)
    monkeypatch.setattr(final_measurement, "N_AT_ONCE", 3)
    monkeypatch.setattr(final_measurement, "MAX_UNTIL_ONE_COMPLIES", 12)
    result = searched_without_ray()
    order = [e.trial for e in result.goal.sort(result.full)]
    broken, measured = set(order[:n_broken]), list[str]()

    def pretend(due: Any, *_: Any) -> Any:
        for e in due:
            measured.append(e.trial)
            metrics = {"size": 100.0 if e.trial in broken else 1.0}
            yield {"trial": e.trial, "metrics": metrics, "error": ""}

    monkeypatch.setattr(final_measurement, "_measured", pretend)
    final_measurement.measure_at_end(result, None)  # type: ignore[arg-type]
    assert len(measured) == len(set(measured)) <= 12
    if n_broken < 12:
        assert result.best().trial == order[n_broken] and result.best().first
    else:
        assert measured == order[:12] and not result.pareto_front()
        with pytest.raises(RaynasError, match=r"12 of it broke a limit only when measured.*, and 15 more were not"):
            result.best()
        (note,) = broken_at_end(result)
        assert "so there is no result" in note
    before = len(measured)
    final_measurement.measure_at_end(result, None)  # type: ignore[arg-type]
    assert len(measured) == before
