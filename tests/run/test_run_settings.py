"""The arguments that say how trials run are checked before anything starts."""

import math
from typing import Any

import numpy as np
import pytest

from raynas.errors import SettingError
from raynas.run.run_settings import RunSettings
from raynas.strategies import Asha, RandomSearch
from raynas.trials import Training


def test_numbers_of_any_kind() -> None:
    run = RunSettings(
        num_samples=np.int64(3),
        max_concurrent=2.0,  # type: ignore[arg-type]
        max_trial_seconds=np.float32(1.5),
        max_failures_in_a_row=None,
    )
    assert (run.num_samples, run.max_concurrent, run.max_trial_seconds) == (3, 2, 1.5)
    assert type(run.num_samples) is type(run.max_concurrent) is int
    assert run.max_failures_in_a_row == 0 and run.generation_size is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tolerance", value) for value in (-0.1, math.nan, "1", True)),
        *(("num_samples", value) for value in (0, None, "4", True, 2.5)),
        *(("max_concurrent", value) for value in (0, -1, "all")),
        *(("generation_size", value) for value in (0, -1, 2.5, True)),
        *(("max_trial_seconds", value) for value in (0, math.inf, "1 h")),
        *(("max_failures_in_a_row", value) for value in (-1, "never")),
        ("on_change", "ask"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be "):
        RunSettings(**{name: value})


def test_a_run_config_that_cannot_be_carried_out_is_refused() -> None:
    with pytest.raises(SettingError, match=r"run_config must be a ray\.tune\.RunConfig"):
        RunSettings(run_config={"name": "mine"})  # type: ignore[arg-type]


def test_generations_exclude_early_stopping() -> None:
    stops = RandomSearch(early_stopping=Asha())
    trained = Training()
    RunSettings().check(stops, trained)
    run = RunSettings(generation_size=4)
    run.check(RandomSearch(), trained)
    with pytest.raises(ValueError, match=r"early stopping by Asha depends on that; leave out one of them"):
        run.check(stops, trained)
