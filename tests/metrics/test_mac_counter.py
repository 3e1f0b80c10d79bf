import gc

import pytest
import torch
from torch import nn

from raynas.errors import RaynasError
from raynas.metrics.mac_counter import MacCounter, Outcomes, description, macs_of, no_garbage_collection


def example() -> torch.Tensor:
    return torch.empty(1, 3, 8, 8, device="meta")


def test_repeated_operations_are_remembered() -> None:
    known: Outcomes = {}
    conv = nn.Conv2d(3, 3, 3, padding=1)
    macs = 3 * 3 * 9 * 64 + 3 * 64  # with the bias
    assert macs_of(conv, example, MacCounter(known)) == macs
    n_known = len(known)
    counter = MacCounter(known)
    assert macs_of(nn.Sequential(conv, conv), example, counter) == 2 * macs == counter.macs
    assert len(known) == n_known


def test_shapes_strides_and_types_describe_a_tensor() -> None:
    x = torch.zeros(2, 3)
    assert description([x, 1]) == description((torch.ones(2, 3), 1))
    assert description(x) != description(x.T) != description(x.T.contiguous())
    assert len({description(1), description(1.0), description(True)}) == 3


def test_a_model_that_reads_values_is_refused() -> None:
    class Reading(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() else -x

    with pytest.raises(RaynasError, match="Reading cannot run on the meta device"):
        macs_of(Reading(), example, MacCounter({}))


def test_garbage_collection_is_suspended() -> None:
    assert gc.isenabled()
    with no_garbage_collection():
        assert not gc.isenabled()
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
