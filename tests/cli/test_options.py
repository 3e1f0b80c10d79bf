"""Options that belong to no table."""

from pathlib import Path

import pytest
from ray.train.constants import DEFAULT_STORAGE_PATH

from raynas.cli.options import RetrainOptions, RunOptions, SearchOptions, names_code


def test_the_folder_of_a_search() -> None:
    run = RunOptions(name="a", results="/tmp/results")
    assert (run.path, run.storage_path) == (Path("/tmp/results/a"), "/tmp/results")


def test_a_bucket_has_a_working_copy_on_this_machine() -> None:
    run = RunOptions(name="a", results="s3://bucket/path?region=eu-west-1")
    assert run.storage_path == run.results
    assert run.path.name == "a" and run.path.parent.name.startswith("s3-bucket-path")
    assert run.path.parent.parent == Path(DEFAULT_STORAGE_PATH).resolve(), "in the folder of Tune's for results"


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
