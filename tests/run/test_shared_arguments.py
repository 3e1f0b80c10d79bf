"""Arguments that others share with ``raynas.search`` have one type and one default."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import signature
from typing import Any

import pytest

import raynas
from raynas.run.run_settings import RunSettings

OTHERS: dict[Callable[..., Any], set[str]] = {
    raynas.Study: set(),
    raynas.funnel: {"leave_report"},  # the stages have no report that could be a live one
    raynas.train_supernet: set(),
}
"""With the arguments that differ."""


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.__name__)
def test_shared_arguments_have_one_type_and_default(other: Callable[..., Any]) -> None:
    ours, theirs = signature(raynas.search).parameters, signature(other).parameters
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 3
    assert {name for name in shared if str(ours[name]) != str(theirs[name])} == OTHERS[other]


def test_the_settings_of_a_run_have_the_defaults_of_its_arguments() -> None:
    given = signature(raynas.search).parameters
    defaults = {field.name: field.default for field in fields(RunSettings) if field.default is not MISSING}
    assert {name for name in defaults if name not in given} == {"live_report"}
    assert {name: given[name].default for name in defaults if name in given} == {
        name: value for name, value in defaults.items() if name != "live_report"
    }
