"""Descriptions of settings, and that the catalogue is that of the code."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from raynas.cli.catalogue import FILE, KINDS, Option, catalogue
from raynas.cli.describe import catalogue_text, describe, hint_text
from raynas.cli.search_request import RETRAINED
from raynas.cli.tables import TABLES, TRAINABLES
from raynas.cli.values import hint_of
from raynas.trials import Training


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings for ``None`` and all.

    More.

    Args:
        n: a number, or ``None``.
        sizes: some sizes.
        part: cannot be written.
    """

    fn: Callable[..., Any]
    n: int | None = None
    sizes: tuple[tuple[int, int], ...] = ((1, 2),)
    part: Part = field(default_factory=Part)


def test_a_field_is_an_option() -> None:
    entry = describe(Settings)
    assert entry.summary == "Settings for none and all."
    assert entry.options == (
        Option(name="fn", hint="str", required=True),
        Option(name="n", hint="int | None", help="a number, or none"),
        Option(name="sizes", hint="tuple[tuple[int, int], ...]", help="some sizes", default=[[1, 2]]),
    )


def test_only_dataclasses_have_options() -> None:
    with pytest.raises(TypeError, match="int must be a dataclass"):
        describe(int)


@pytest.mark.parametrize(
    "hint",
    [
        *(int, bool, float | None, tuple[int, ...], tuple[int, ...] | None, tuple[tuple[int, int], ...]),
        *(Sequence[str], Mapping[str, Any], Mapping[str, float], Literal["a", "b"], float | str | None),
    ],
)
def test_a_hint_survives_as_text(hint: Any) -> None:
    assert hint_of(hint_text(hint)) == hint


def test_the_catalogue_is_that_of_the_code() -> None:
    assert FILE.read_text() == catalogue_text(TABLES), "run scripts/make_catalogue.py"
    assert list(catalogue()) == list(TABLES) == list(KINDS)


def test_what_can_be_trained_to_its_end() -> None:
    assert [name for name, cls in sorted(TRAINABLES.items()) if issubclass(cls, Training)] == list(RETRAINED)
