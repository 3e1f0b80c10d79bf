"""Spaces that fit the data."""

import pytest

from raynas.cli.winner import fitted
from raynas.errors import RaynasError
from raynas.search_spaces import CNN
from tests.cli.command_lines import search


def test_the_space_fits_the_data() -> None:
    command = search("--space.n_strides", "2")
    assert fitted(command.space, command.trainable, command.given) == (
        CNN(input_shape=(1, 8, 8), n_strides=2),
        "digits",
    )


@pytest.mark.parametrize("flags", [("--space.n_classes", "7"), ("--space.input_shape", "3", "8", "8")])
def test_a_size_that_contradicts_the_data(flags: tuple[str, ...]) -> None:
    command = search(*flags)
    with pytest.raises(RaynasError, match="but data digits has"):
        fitted(command.space, command.trainable, command.given)
