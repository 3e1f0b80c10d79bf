"""Rules of operations that split, move or gather channels."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.nn.dimensions.expressions import Atom, Dimension, positions, resolved
from raynas.nn.dimensions.tracing import Trace


def varying(dimension: Dimension) -> list[Atom]:
    """Return the indices in a dimension that may be removed."""
    found = resolved(dimension)
    if isinstance(found, Atom):
        return [] if found.frozen or found.size == 1 else [found]
    parts = found.factors if hasattr(found, "factors") else found.terms
    return [atom for part in parts for atom in varying(part)]


NUMBERED = torch.arange(16.0).view(1, 16, 1, 1)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda x: functional.pixel_shuffle(x, 2), (1, 16, 4, 4)),
        (lambda x: functional.pixel_unshuffle(x, 2), (1, 16, 4, 4)),
        (lambda x: functional.channel_shuffle(x, 4), (1, 16, 1, 1)),
        (lambda x: functional.glu(x, 1), (1, 16, 1, 1)),
        (lambda x: x.max(2)[0], (1, 16, 4, 4)),
        (lambda x: x.min(3, keepdim=True).values, (1, 16, 4, 4)),
    ],
)
@torch.no_grad()
def test_kept_channels_are_those_of_the_operation(call: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    """Without channels, an operation gives what it gave of the others, at the positions that the trace says."""
    x = NUMBERED.expand(shape).contiguous()
    trace = Trace()
    trace.put_free(x)
    with trace:
        whole = call(x)
    atoms = dict.fromkeys(varying(trace.of(x)[1]))
    assert atoms
    kept = {atom: torch.arange(atom.size)[1::2] for atom in atoms}
    less = x.index_select(1, positions(trace.of(x)[1], kept))
    assert less.shape[1] < 16
    expected = whole.index_select(1, positions(trace.of(whole)[1], kept))
    torch.testing.assert_close(call(less), expected)


def test_indices_of_an_extreme_keep_channels_only_where_they_are_used() -> None:
    for uses in (lambda found: found[0], lambda found: found[0] + found[1]):
        trace, x = Trace(), torch.rand(4, 6)
        trace.put_free(x)
        with trace:
            uses(x.max(1))
        reason = resolved(trace.of(x)[1]).frozen  # type: ignore[union-attr]
        assert reason == (None if uses(x.max(1)).equal(x.max(1)[0]) else "its indices are looked up by number")
    trace, x = Trace(), torch.rand(4, 6)
    trace.put_free(x)
    with trace:
        found = x.max(1)[1]
    trace.freeze(found, "an output")
    assert resolved(trace.of(x)[1]).frozen == "its indices are looked up by number"  # type: ignore[union-attr]


def test_the_larger_of_two_and_the_largest_of_all() -> None:
    trace, a, b = Trace(), torch.rand(4, 6), torch.rand(6)
    trace.put_free(a)
    trace.put_free(b)
    with trace:
        torch.max(a, b).max()
    assert resolved(trace.of(a)[1]) is resolved(trace.of(b)[0])


def test_the_length_of_filters_goes_with_them() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    trace, x = Trace(), torch.rand(2, 3)
    with trace, torch.no_grad():
        y = layer(x)
    length, direction = (trace.of(p) for p in layer.parametrizations["weight"].parameters())
    assert resolved(length[0]) is resolved(direction[0]) is resolved(trace.of(y)[1])
    assert resolved(direction[1]) is resolved(trace.of(x)[1])
    assert [name for dimension, name in trace.mixed if resolved(dimension) is resolved(direction[1])][:1] == [
        "_weight_norm_interface"
    ]


def test_bags_of_embeddings() -> None:
    layer, trace = nn.EmbeddingBag(9, 4), Trace()
    with trace, torch.no_grad():
        bags = layer(torch.randint(9, (2, 5)))
    assert resolved(trace.of(bags)[1]) is resolved(trace.of(layer.weight)[1])
    assert varying(trace.of(layer.weight)[0]) == []
