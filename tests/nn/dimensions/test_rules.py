"""Rules by which a trace follows dimensions through operations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raynas.nn.dimensions.expressions import atoms, positions, resolved
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
        (lambda x: x.repeat(2, 1, 1, 1), [], [None, 0, 1, 2]),
        (lambda x: nn.functional.logsigmoid(x), [], [0, 1, 2]),
        (lambda x: nn.functional.prelu(x, torch.full((1,), 0.1)), [], [0, 1, 2]),
        (lambda x: x.softmax(1), [], [0, 1, 2]),
        (lambda x: x.cumsum(1), [1], [0, 1, 2]),
        (lambda x: nn.functional.conv1d(x, torch.ones(3, 5, 3)), [2], [0, None, None]),
        (lambda x: nn.functional.avg_pool2d(x, 2, 1), [2], [0, None, None]),
    ],
)
def test_dimensions_pass(call: Callable[[Tensor], Tensor], frozen: list[int], origins: list[int | None]) -> None:
    reasons, found = traced(call, torch.rand(4, 5, 6))
    assert [i for i, reason in enumerate(reasons) if reason] == frozen
    assert found == origins


def test_an_index_that_is_broadcast_stays_single() -> None:
    reasons, _ = traced(lambda x: x.sigmoid() * torch.rand(4, 5), torch.rand(4, 1))
    assert reasons == [None, "it is broadcast"]


@pytest.mark.parametrize(
    ("call", "mixed"),
    [
        (lambda x: x.softmax(-1), [("_softmax", 2)]),
        (lambda x: x.mean((1, 2)), [("mean", 1), ("mean", 2)]),
        (lambda x: nn.functional.layer_norm(x, (6,)), [("native_layer_norm", 2)]),
        (lambda x: nn.functional.group_norm(x, 1), [("native_group_norm", 1)]),
        (lambda x: x @ torch.rand(4, 6, 3), [("bmm", 2)]),
        (lambda x: x.relu() + 1, []),
    ],
)
def test_operations_that_compute_with_all_indices_are_noted(
    call: Callable[[Tensor], Tensor], mixed: list[tuple[str, int]]
) -> None:
    trace, x = Trace(), torch.rand(4, 5, 6)
    trace.put_free(x)
    with trace:
        call(x)
    given = list(map(resolved, trace.of(x)))
    assert [(name, given.index(resolved(dimension))) for dimension, name in trace.mixed] == mixed


@pytest.mark.parametrize(
    ("make", "differ"),
    [
        (lambda x: torch.arange(5.0), True),
        (lambda x: torch.tensor([1.0, 2, 3, 4, 5]), True),
        (lambda x: torch.ones(5), False),
        (lambda x: x.new_full((5,), 2.0), False),
    ],
)
def test_constants_whose_numbers_differ_are_noted(make: Callable[[Tensor], Tensor], differ: bool) -> None:
    trace = Trace()
    x = torch.rand(4, 5)
    trace.put_free(x)
    with trace:
        _ = x * make(x)
    assert (resolved(trace.of(x)[1]) in map(resolved, trace.constants)) is differ


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: torch.cat([x, x], dim=1), [1, 0, 1, 4, 3, 4]),
        (lambda x: torch.cat([x[:, :0], x], dim=1), [1, 0, 1]),
        (lambda x: x.flatten(1), [2, 3, 0, 1, 2, 3]),
        (lambda x: x.transpose(1, 2).flatten(1), [1, 0, 1, 4, 3, 4]),
        (lambda x: nn.functional.conv1d(x, torch.ones(6, 1, 1), groups=3), [2, 3, 0, 1, 2, 3]),
    ],
)
def test_copies_of_an_index_pass(call: Callable[[Tensor], Tensor], expected: list[int]) -> None:
    trace, x = Trace(), torch.rand(4, 3, 2)
    trace.put_free(x)
    with trace:
        result = call(x)
    (atom,) = atoms(trace.of(x)[1])
    assert positions(trace.of(result)[1], {atom: torch.tensor([1, 0, 1])}).tolist() == expected


def test_an_index_by_a_mask_gives_up() -> None:
    reasons, _ = traced(lambda x: x[torch.tensor([True, False, True])], torch.rand(3, 5))
    assert reasons == ["the operation index by a mask"] * 2
