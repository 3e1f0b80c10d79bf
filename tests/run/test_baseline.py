"""Baselines in every form, and what is known of them before a trial."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from torch import nn

import raynas
from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.measurement import Measured, Provenance
from raynas.core.metric import Metric
from raynas.errors import ArchiveError, RaynasError, SpaceError
from raynas.metrics import read_goal
from raynas.run.baseline import Reference, baseline_figures, check_baseline, read_baseline
from raynas.search_spaces import NASBench201
from raynas.trials import Function
from tests.run.widths import SPACE

ARCH = {"width_0": 2, "width_1": 8, "width_2": 1}
N_PARAMS = (4 * 2 + 2) + (2 * 8 + 8) + (8 * 1 + 1)


def score(model: object, config: Mapping[str, object]) -> float:
    return 0.5


def read(given: Any, hyperparameters: Any = None) -> Reference:
    reference = read_baseline(given, SPACE, hyperparameters)
    assert reference is not None
    return reference


def figures(goal: Goal, given: Any, archive: Archive | None = None) -> dict[str, float]:
    return baseline_figures(archive or Archive(), goal, read_baseline(given, SPACE), Function(fn=score))


# --- forms -----------------------------------------------------------------------------------------------------------


def test_one_architecture_in_every_form(tmp_path: Path) -> None:
    file = tmp_path / "architecture.json"
    file.write_text(json.dumps(ARCH))
    for given in (
        ARCH,
        Architecture(ARCH),
        {"arch": ARCH},
        json.dumps(ARCH),
        f"\n {json.dumps(ARCH)}",
        str(file),
        file,
    ):
        assert read(given).config == {"arch": ARCH}, given
    assert read(file).name == read(ARCH).name != read("default").name


def test_the_default_is_the_first_option_of_every_decision() -> None:
    assert read("default").arch == Architecture({"width_0": 1, "width_1": 1, "width_2": 1})
    space = NASBench201()
    reference = read_baseline("default", space)
    assert reference and set(reference.arch.values()) == {space.decisions[0].options[0]}


def test_there_may_be_none() -> None:
    assert read_baseline(None, SPACE) is None


def test_hyperparameters_that_are_left_open() -> None:
    domains = {"batch_size": tune.choice([8, 16]), "lr": tune.uniform(0.0, 1.0), "epochs": 3}
    assert read(ARCH, domains).config == {"arch": ARCH, "batch_size": 8, "lr": 0.5, "epochs": 3}
    given = {"arch": ARCH, "lr": 0.25}
    assert read(given, domains).config == {"arch": ARCH, "batch_size": 8, "lr": 0.25, "epochs": 3}


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ("defualt", RaynasError, "cannot read the architecture 'defualt'"),
        ('{"width_0": 3}', SpaceError, "'width_0' cannot be 3"),
        ('{"width_0": ', SpaceError, "must be a JSON object"),
        ({"width_9": 1}, SpaceError, "no decision 'width_9'"),
    ],
)
def test_what_is_no_baseline(given: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        read(given)


# --- what limits need of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("constraint", ["params <= 0.9 * baseline", "accuracy >= baseline", "macs <= baseline soft"])
def test_without_a_baseline_both_spellings_are_named(constraint: str) -> None:
    with pytest.raises(ValueError, match=r'baseline="default".*--baseline default, or --baseline FILE.json'):
        check_baseline(read_goal("accuracy", constraint), None)
    check_baseline(read_goal("accuracy", "params <= 5"), None)


def test_of_an_architecture_the_costs_that_limits_need() -> None:
    goal = read_goal("accuracy", ["params <= 0.9 * baseline", "accuracy >= baseline", "macs <= 5000"])
    assert figures(goal, ARCH) == {"params": N_PARAMS}
    assert figures(read_goal("accuracy", "params <= 5"), ARCH) == {}
    assert figures(read_goal("accuracy", "params <= 5"), None) == {}


def test_of_a_network_all_that_views_show() -> None:
    network = nn.Linear(4, 3)
    goal = read_goal(["accuracy", "latency_ms"], "params <= 2 * baseline", [Metric(name="note", mode="min")])
    known = figures(goal, network)
    assert known["params"] == 15 and known["macs"] == 15 and known["latency_ms"] > 0 and len(known) == 3
    assert goal.against(known).constraints[0].limit == 30


def test_a_network_has_no_metrics_that_need_training() -> None:
    goal = read_goal("accuracy", ["params <= baseline", "accuracy >= 0.98 * baseline"])
    with pytest.raises(
        ValueError, match=r"on 'accuracy' refers to the baseline, a Linear of 15 parameters, .*\(params\).*as a number"
    ):
        figures(goal, nn.Linear(4, 3))


def test_a_metric_of_the_users_own_is_measured_of_a_network() -> None:
    energy = Metric(name="energy", mode="min", measure=lambda candidate: 2.0 * candidate.params)
    assert figures(read_goal("accuracy", "energy <= baseline", [energy]), nn.Linear(4, 3))["energy"] == 30


def test_a_network_that_does_not_run() -> None:
    goal = read_goal("accuracy", "macs <= baseline")
    with pytest.raises(RaynasError, match="macs of the baseline, a Linear of 18 parameters, cannot be measured: "):
        figures(goal, nn.Linear(5, 3))


# --- another session -------------------------------------------------------------------------------------------------


def session(archive: Archive, reference: Reference, *events: str) -> None:
    archive.append("session", baseline={"params": 1.0}, baseline_is=reference.name)
    for event in events:
        archive.append(event, trial="1")


def test_values_are_not_measured_again() -> None:
    archive = Archive()
    session(archive, read(ARCH), "proposed", "ended")
    assert figures(read_goal("accuracy", "params <= baseline"), ARCH, archive) == {"params": 1.0}


def test_limits_of_another_baseline_are_refused() -> None:
    archive, goal = Archive(), read_goal("accuracy", "params <= baseline")
    session(archive, read(ARCH), "proposed", "ended")
    with pytest.raises(ArchiveError, match=r"relative to another baseline, .*choose another name"):
        figures(goal, "default", archive)
    assert figures(read_goal("accuracy"), "default", archive) == {}


def test_a_baseline_can_be_corrected_before_a_trial_has_ended() -> None:
    archive, goal = Archive(), read_goal("accuracy", "params <= baseline")
    session(archive, read("default"), "proposed")
    assert figures(goal, ARCH, archive) == {"params": N_PARAMS}


def test_a_limit_on_a_prediction_refers_to_the_measured_baseline() -> None:
    real = Metric(name="real", mode="min", measure=lambda candidate: 5.0)
    size = Metric(name="size", mode="min", measure=lambda candidate: 2.0, final=real)
    assert figures(read_goal("accuracy", "size <= 0.5 * baseline", [size]), "default") == {"size": 5.0}


@pytest.mark.parametrize(
    ("values", "found"), [((9.0, 8.0, 5.0), 5.0), ((9.0, 8.0, 7.0, 6.0, 8.5), 6.0)], ids=["trusted", "doubtful"]
)
def test_a_doubtful_baseline_is_measured_again(
    values: tuple[float, ...], found: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("raynas.run.baseline.PAUSE_SECONDS", 0.0)
    left = list(values)

    def measure(candidate: object) -> float:
        value = left.pop(0)
        return Measured(value, Provenance(doubt="" if value == 5 else "busy"))

    metric = Metric(name="size", mode="min", measure=measure)
    assert figures(read_goal("accuracy", "size <= 0.5 * baseline", [metric]), "default") == {"size": found}
    assert left == [] and ("size of the baseline is doubtful" in caplog.text) == (found == 6)


def test_limits_of_the_relatives_of_a_model_refer_to_the_model() -> None:
    space = raynas.convert(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)), torch.rand(2, 4))
    limited, free = read_goal("accuracy", "params <= 0.5 * baseline"), read_goal("accuracy", "params <= 50")
    reference = read_baseline(None, space, goal=limited)
    assert reference is not None and reference.arch == space.default
    assert reference == read_baseline("default", space)
    known = baseline_figures(Archive(), limited, reference, Function(fn=score))
    assert known == {"params": 4 * 16 + 16 + 16 * 2 + 2}
    assert read_baseline(None, space, goal=free) is None and read_baseline(None, SPACE, goal=limited) is None
