"""Types of values on the command line, and both in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from raynas.cli.values import default_text, hint_of, metavar, type_text, typed


@pytest.mark.parametrize(
    ("hint", "letter", "words"),
    [
        (int, " N", "a whole number"),
        (float | None, " X", "a number or none"),
        (bool, " yes|no", "true or false"),
        (tuple[int, ...], " N ...", "values that are each a whole number"),
        (Sequence[str], " TEXT ...", "values that are each a text"),
        (Mapping[str, float], ".NAME X", "NAME and value"),
        (Literal["a", "b"], " TEXT", "'a' or 'b'"),
    ],
)
def test_a_type_has_a_letter_and_words(hint: Any, letter: str, words: str) -> None:
    assert (metavar(hint), type_text(hint)) == (letter, words)


@pytest.mark.parametrize(
    ("default", "text"),
    [(None, ""), ((), ""), (True, " (default: yes)"), (("a b", "c"), " (default: 'a b' c)"), (0.5, " (default: 0.5)")],
)
def test_a_default_is_told_where_there_is_one(default: object, text: str) -> None:
    assert default_text(default) == text


def test_lists_become_tuples_all_the_way_down() -> None:
    assert typed([1, [2, 3]]) == (1, (2, 3))
    assert typed({"lr": [1, 2]}) == {"lr": [1, 2]}  # a list of hyperparameters is a choice


def test_an_annotation_names_nothing_but_plain_types() -> None:
    assert hint_of("Mapping[str, int] | None") == Mapping[str, int] | None
    with pytest.raises(NameError):
        hint_of("__import__('os')")
