import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.run.failure_streak import FailureStreak

ARCH = Architecture({"layers.0": 1})


def end(streak: FailureStreak, *errors: str) -> str:
    """Count ends of trials; an empty error is a success."""
    for error in errors:
        streak.add(Evaluation(ARCH, {}, status="failed" if error else "finished", error=error))
    return streak.verdict


def test_failures_in_a_row_with_one_reason() -> None:
    verdict = end(FailureStreak(3), "epoch 1: KeyError: 'lr' (a.py, line 7)", *["KeyError: 'lr' (a.py, line 7)"] * 3)
    assert verdict.startswith("3 trials in a row failed for one reason: KeyError: 'lr' (a.py, line 7). Repair it")
    assert "\n" not in verdict


def test_numbers_of_an_architecture_are_no_other_reason() -> None:
    shapes = ["mat1 (4x3) and mat2 (5x2), 1.5e-3", "mat1 (4x33) and mat2 (15x2), 2e-05", "mat1 (1x3) and mat2 (2x2), 7"]
    assert end(FailureStreak(3), *shapes)
    assert end(FailureStreak(2), "<object at 0x7f2a>", "<object at 0xbeef>")


def test_a_success_or_another_reason_begins_a_new_row() -> None:
    assert not end(FailureStreak(3), "a", "a", "", "a", "a", "b", "a", "a")


@pytest.mark.parametrize("never", [0, None])
def test_no_limit(never: int | None) -> None:
    assert not end(FailureStreak(never), *["a"] * 100)


def test_what_runs_ends_only_where_that_is_asked_for() -> None:
    first, patient = FailureStreak(1, ends_running=True), FailureStreak(1)
    assert not first.ends_what_runs
    for streak in (first, patient):
        end(streak, "a")
    assert first.ends_what_runs and not patient.ends_what_runs
