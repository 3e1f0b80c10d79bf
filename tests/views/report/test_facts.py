"""The facts of a report."""

from pathlib import Path

import pytest

from raynas.core.measurement import Measured, Provenance
from raynas.core.near_ties import share_of
from raynas.views.report import Comparison
from raynas.views.report.files import as_json
from raynas.views.report.text import as_text
from tests.views.report.searches import TRIALS, searched, summary_of


def test_only_what_was_fully_trained_counts() -> None:
    summary = summary_of(searched())
    assert summary.best and summary.best.metrics["accuracy"] == 0.95
    assert summary.counts == {"finished": 4, "stopped": 1, "failed": 1, "refused": 0, "repaired": 0, "duplicates": 0}
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


def test_epochs_are_told_of_both() -> None:
    comparison = summary_of(searched(), searched(TRIALS[:2])).comparison
    assert comparison
    assert (comparison.n_trials, comparison.n_random_trials) == (6, 2)
    assert (comparison.epochs, comparison.random_epochs) == (39, 18)


@pytest.mark.parametrize(
    ("found", "random", "margin", "told"),
    [
        (0.9, 0.8, None, "better by 0.1 accuracy; the noise of a score is not known, so this may be chance"),
        (0.8, 0.9, None, "NOT better than random search: it is worse by 0.1 accuracy; the noise"),
        (0.9, 0.9, 0.01, "NOT better than random search: both reached the same"),
        (None, 0.9, None, "NOT better"),
        (0.9, None, None, "Random search found nothing"),
        (
            0.9014,
            0.9,
            0.01,
            "Inside the noise: the search is ahead of random search by 0.0014 accuracy (95 % interval -0",
        ),
        (0.9, 0.9014, 0.01, "Inside the noise: the search is behind random search by 0.0014"),
        (0.92, 0.9, 0.01, "The search is better by 0.02 accuracy (95 % interval +0.01 to +0.03)."),
        (
            0.9,
            0.92,
            0.01,
            "NOT better than random search: it is worse by 0.02 accuracy (95 % interval -0.03 to -0.01).",
        ),
    ],
)
def test_verdicts(found: float | None, random: float | None, margin: float | None, told: str) -> None:
    comparison = Comparison(
        metric="accuracy",
        mode="max",
        found=found,
        random=random,
        n_trials=9,
        n_random_trials=9,
        epochs=20,
        random_epochs=20,
        margin=margin,
    )
    assert told in comparison.verdict


def test_limits_are_resolved_and_those_that_are_not_are_noted() -> None:
    limits = ("latency_ms <= 0.5 * baseline", "latency_ms >= 1", "accuracy >= baseline")
    summary = summary_of(searched(constraints=limits, baseline={"latency_ms": 6.0}))
    assert summary.limits == {"latency_ms": "<= 3, >= 1", "accuracy": ">= 1 * baseline"}
    assert [note for note in summary.notes if "accuracy >= 1 * baseline was not applied: the baseline has no" in note]
    assert not summary_of(searched(constraints=limits[1])).notes[1:]


def test_fronts_of_all_that_is_limited_or_an_objective() -> None:
    result = searched(objectives=("latency_ms", "accuracy"), constraints="params <= 45000")
    summary = summary_of(result)
    assert list(summary.fronts) == ["accuracy", "params"]
    assert [e.metrics["accuracy"] for e in summary.fronts["accuracy"]] == [0.85, 0.90, 0.95]


def test_unreliable_figures_are_noted() -> None:
    busy = Measured(4.0, Provenance(facts={"backend": "eager"}, doubt="the machine is busy"))
    summary = summary_of(searched([TRIALS[0], ("finished", 9, 0.95, busy, 30_000)]))
    assert summary.notes[-1] == (
        "1 of 2 figures of latency_ms are unreliable, marked (?); that of trial 00002: the machine is busy."
    )
    assert "4 ms (?)" in as_text(summary) and "2 ms (?)" not in as_text(summary)
    best = as_json(summary)["best"]
    assert isinstance(best, dict)
    assert best["provenance"] == {"latency_ms": {"facts": {"backend": "eager"}, "doubt": "the machine is busy"}}


def test_a_doubtful_baseline_is_noted() -> None:
    doubtful = Measured(8.0, Provenance(doubt="the machine is busy"))
    result = searched(constraints="latency_ms <= 0.5 * baseline", baseline={"latency_ms": doubtful})
    note = (
        "The baseline's latency_ms, 8 ms (?), is unreliable, and so is any limit relative to it: the machine is busy."
    )
    assert note in summary_of(result).notes
    result = searched(constraints="latency_ms <= 0.5 * baseline", baseline={"latency_ms": 8.0})
    assert not [note for note in summary_of(result).notes if "unreliable" in note]


def test_what_random_search_found_is_a_candidate_too() -> None:
    rows = [*TRIALS, ("finished", 9, 0.96, 4.0, 9_000.0)]  # all but the last are known to the search
    summary = summary_of(searched(), searched(rows, path=Path("results/name/random")))
    assert summary.best and summary.best.trial == "random/00007"
    assert [e.trial for e in summary.fronts["params"]] == ["random/00007"]
    assert summary.counts["finished"] == 4, "trials of this search"
    assert summary.comparison and (summary.comparison.found, summary.comparison.random) == (0.95, 0.96)


def test_the_choice_within_the_noise_is_told() -> None:
    rows = [("finished", 9, share_of(n, 1000), 2.0, params) for n, params in ((981, 698e3), (979, 292e3), (900, 1.0))]
    summary = summary_of(searched(rows))
    assert summary.best and summary.best.trial == "00002"
    assert summary.choice == (
        "Trial 00001 scored 0.981. This one scored 0.979, which is within the noise, one standard error of 0.0045, "
        "with 292 k instead of 698 k params; tolerance 0 would choose the other."
    )
    assert "292 k instead" in " ".join(as_text(summary).split()) and as_json(summary)["choice"] == summary.choice
    tied = [("finished", 9, 0.9, 2.0, 5.0), ("finished", 9, 0.9, 2.0, 4.0)]
    assert summary_of(searched(tied)).choice == "2 trials reached the same accuracy; this one costs least."
    assert summary_of(searched()).choice == ""
