"""The mixed operation on a GPU: the numbers of the plain sum, in fewer operations."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from raynas.nn.fast.memo import Memo
from raynas.nn.fast.mixed_operation import mixed
from raynas.nn.fast.running_statistics import RunningStatistics
from tests.device_counts import DeviceCounts
from tests.nn.fast.operations import C, assert_equal_to_plain_sum, operations
from tests.pretend_gpu import pretend_gpu


@pytest.fixture(autouse=True)
def counts() -> Iterator[DeviceCounts]:
    counts = DeviceCounts()
    with pretend_gpu(counts):
        yield counts


@pytest.mark.parametrize("edges", [1, 3])
@pytest.mark.parametrize(("stride", "dtype"), [(1, torch.float64), (2, torch.float64), (1, torch.float32)])
def test_values_gradients_and_statistics_are_those_of_the_plain_sum(
    stride: int, dtype: torch.dtype, edges: int
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, C, 8, 8).contiguous(memory_format=torch.channels_last).cuda()
    assert_equal_to_plain_sum(operations(stride), x, dtype=dtype, edges=edges)


def test_edges_from_one_state_take_fewer_operations(counts: DeviceCounts) -> None:
    x = torch.randn(2, C, 6, 6, device="cuda")
    found = []
    for fused in (False, True):
        ops = nn.ModuleList(op for i, op in enumerate(operations()) if i in (0, 1, 3, 4, 5, 6, 7))
        edges = [copy.deepcopy(ops).cuda() for _ in range(4)]
        weights = torch.ones(len(ops), device="cuda", requires_grad=True)
        counts.clear()
        memo = Memo()
        total = torch.stack([mixed(list(edge), weights, x, memo, fused=fused) for edge in edges]).sum()
        memo.finish()
        total.backward()
        assert not counts.to_device
        found.append(counts.n_operations)
    assert found[1] < 0.6 * found[0], found


def test_second_derivatives() -> None:
    torch.manual_seed(0)
    ops = [op.cuda() for op in operations()]
    x, found = torch.randn(2, C, 4, 4, device="cuda"), []
    for fused in (False, True):
        weights = torch.linspace(-1, 1, len(ops)).cuda().requires_grad_()
        first = torch.autograd.grad(mixed(ops, weights, x, fused=fused).pow(3).sum(), weights, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), weights)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-2)


def test_a_batch_norm_that_is_used_twice_sees_its_first_update() -> None:
    norm, plain = (nn.BatchNorm2d(2, affine=False).cuda() for _ in range(2))
    waiting = RunningStatistics()
    for value in (1.0, 3.0):
        mean, variance = (torch.full((2,), n, device="cuda") for n in (value, 2 * value))
        waiting.move(norm, mean, variance)
        assert plain.running_mean is not None
        plain.running_mean.lerp_(mean, 0.1)
    waiting.apply()
    waiting.apply()  # nothing waits
    assert norm.num_batches_tracked == 2
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
