"""Options that belong to no table."""

from pathlib import Path

import pytest

from raynas.cli.options import RetrainOptions, RunOptions, SearchOptions, names_code


def test_the_folder_of_a_search() -> None:
    assert RunOptions(name="a", results="/tmp/results").path == Path("/tmp/results/a")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b"])
def test_a_name_that_is_no_folder(name: str) -> None:
    with pytest.raises(ValueError, match="name must be letters"):
        RunOptions(name=name)


def test_numbers_that_are_too_small() -> None:
    for make in (
        lambda: SearchOptions(num_samples=0),
        lambda: SearchOptions(seed=-1),
        lambda: RunOptions(max_concurrent=0),
        lambda: RetrainOptions(epochs=-1),
    ):
        with pytest.raises(ValueError, match="at least"):
            make()


@pytest.mark.parametrize("seconds", [0, -1.5, float("inf")])
def test_a_time_limit_that_is_none(seconds: float) -> None:
    with pytest.raises(ValueError, match="max_trial_seconds must be a number above 0"):
        RunOptions(max_trial_seconds=seconds)


def test_data_that_is_code() -> None:
    assert [names_code(data) for data in ("digits", "npz:a.npz", "folder:b", "mine:f")] == [False, False, False, True]
