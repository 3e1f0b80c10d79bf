"""Rules by which a trace follows dimensions through operations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from raynas.nn.dimensions.expressions import resolved
from raynas.nn.dimensions.tracing import Trace

ROWS = torch.tensor([2, 0, 1])


def traced(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[list[str | None], list[int | None]]:
    """Return the reasons why dimensions of ``x`` are frozen, and for each of the result the one of ``x`` that it is."""
    trace = Trace()
    trace.of(x)
    with trace:
        result = call(x)
    given = [resolved(dimension) for dimension in trace.of(x)]
    reasons = [getattr(dimension, "frozen", None) for dimension in given]
    found = [resolved(dimension) for dimension in trace.of(result)]
    return reasons, [next((i for i, d in enumerate(given) if d is each), None) for each in found]


@pytest.mark.parametrize(
    ("call", "frozen", "origins"),
    [
        (lambda x: x[ROWS], [0], [None, 1, 2]),
        (lambda x: x[:, ROWS], [1], [0, None, 2]),
        (lambda x: x[:, ROWS[None], ROWS[:, None]], [1, 2], [0, None, None]),
        (lambda x: x[ROWS, :, ROWS], [0, 2], [None, 1]),
        (lambda x: x.new_zeros(4, 7), [], [None, None]),
        (lambda x: torch.zeros_like(x), [], [0, 1, 2]),
        (lambda x: x + torch.ones_like(x), [], [0, 1, 2]),
        (lambda x: x.clone().as_strided_((4, 5, 6), (1, 4, 20)), [], [0, 1, 2]),
    ],
)
def test_dimensions_pass(call: Callable[[Tensor], Tensor], frozen: list[int], origins: list[int | None]) -> None:
    reasons, found = traced(call, torch.rand(4, 5, 6))
    assert [i for i, reason in enumerate(reasons) if reason] == frozen
    assert found == origins


def test_an_index_by_a_mask_gives_up() -> None:
    reasons, _ = traced(lambda x: x[torch.tensor([True, False, True])], torch.rand(3, 5))
    assert reasons == ["the operation index by a mask"] * 2
