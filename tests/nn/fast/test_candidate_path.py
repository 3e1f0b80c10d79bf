import copy

import pytest
import torch
from torch import Tensor, nn

from raynas.nn.fast.layer_kinds import Candidate
from raynas.nn.fast.memo import Memo
from raynas.nn.fast.mixed_operation import mixed
from raynas.nn.operations import HalvingConv, factorized_reduce
from tests.nn.fast.operations import C, assert_equal_to_plain_sum, buffers, operations, separable


@pytest.mark.parametrize("momentum", [0.1, None])
def test_every_edge_updates_its_own_running_statistics(momentum: float | None) -> None:
    memo, x = Memo(), torch.randn(4, C, 5, 5)
    edges = [
        [nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(C, affine=False, momentum=momentum))] for _ in range(2)
    ]
    plain = copy.deepcopy(edges)
    for _ in range(2):
        for edge, other in zip(edges, plain, strict=True):
            mixed(edge, torch.ones(1), x, memo)
            mixed(other, torch.ones(1), x, fused=False)
    for edge, other in zip(edges, plain, strict=True):
        torch.testing.assert_close(buffers(edge), buffers(other))


def test_eval_mode_uses_running_statistics_and_keeps_them() -> None:
    torch.manual_seed(0)
    ops = operations()
    for _ in range(3):
        mixed(ops, torch.ones(len(ops)), torch.randn(4, C, 6, 6) + 1)
    for op in ops:
        op.eval()
    before = copy.deepcopy(buffers(ops))
    assert_equal_to_plain_sum(ops, torch.randn(3, C, 6, 6))
    torch.testing.assert_close(buffers(ops), before, rtol=0, atol=0)


@pytest.mark.parametrize("side", [6, 7])
def test_halving_convolutions(side: int) -> None:
    torch.manual_seed(0)
    ops = [factorized_reduce(C, C, affine=False), nn.Sequential(*separable(3, 2, 2)), HalvingConv(C, C)]
    assert_equal_to_plain_sum(ops, torch.randn(3, C, side, side), edges=2)


def test_gradients_are_in_channels_last_order() -> None:
    orders: list[bool] = []
    state = torch.randn(3, C, 8, 8, requires_grad=True)
    x = state.contiguous(memory_format=torch.channels_last)
    x.register_hook(lambda grad: orders.append(grad.is_contiguous(memory_format=torch.channels_last)))
    ops: list[Candidate] = [*operations(2), factorized_reduce(C, C, affine=False), lambda x: x[:, :, 1::2, 1::2]]
    mixed(ops, torch.ones(len(ops)), x).sum().backward()
    assert orders == [True]


def test_a_layer_that_works_in_place_spoils_no_shared_result() -> None:
    class Drop(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(0.5)

    def pooled(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(C, affine=False), *layers)

    candidates = [pooled(), pooled(nn.ReLU(inplace=True)), pooled(Drop()), pooled(nn.Conv2d(C, C, 1)), pooled()]
    x, weights = torch.randn(2, C, 6, 6, requires_grad=True), torch.rand(5, requires_grad=True)
    results = []
    for fused in (False, True):
        out = mixed(candidates, weights, x, fused=fused)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, weights))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)
