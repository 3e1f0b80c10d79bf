"""Candidate operations, and the comparison of the fast path with the plain one."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from raynas.nn.fast.memo import Memo
from raynas.nn.fast.mixed_operation import mixed

C = 8
"""Channels. With fewer, torch 2.13 writes out of bounds on CPUs without AVX-512, in the backward pass of a 1x1
convolution with stride whose input is channels_last."""


TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def separable(kernel: int, stride: int = 1, dilation: int = 1, channels: int = C) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]


class Odd(nn.Module):
    """Something that nobody looks into."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(C, C, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))


def operations(stride: int = 1) -> list[nn.Module]:
    """Those of DARTS, and some that are almost like them."""
    skip = nn.Identity() if stride == 1 else nn.Sequential(nn.ReLU(), Odd(stride), nn.BatchNorm2d(C, affine=False))
    return [
        nn.Sequential(nn.MaxPool2d(3, stride, padding=1), nn.BatchNorm2d(C, affine=False)),
        nn.Sequential(
            nn.AvgPool2d(3, stride, padding=1, count_include_pad=False), nn.BatchNorm2d(C, affine=False, momentum=None)
        ),
        nn.AvgPool2d(3, stride, padding=1),
        skip,
        nn.Sequential(*separable(3, stride), *separable(3)),
        nn.Sequential(*separable(5, stride), *separable(5)),
        nn.Sequential(*separable(3, stride, 2)),
        nn.Sequential(*separable(5, stride, 2)),
        nn.Sequential(nn.Sequential(*separable(3, stride)[:2]), nn.BatchNorm2d(C), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(C, C, 1, stride), nn.BatchNorm2d(C, affine=False, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(C, C, 1, stride), nn.BatchNorm2d(C, affine=False), nn.Tanh()),
        nn.Sequential(nn.MaxPool2d(2, 1, padding=1), nn.MaxPool2d(2, stride)),
        Odd(stride),
    ]


def buffers(ops: Sequence[nn.Module]) -> dict[str, Tensor]:
    return nn.ModuleList(ops).state_dict()


def assert_equal_to_plain_sum(
    ops: Sequence[nn.Module], x: Tensor, *, edges: int = 1, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Check the fast way against the plain one on ``edges`` edges from one state; gives both outputs."""
    found = []
    for fused in (False, True):
        network = nn.ModuleList(copy.deepcopy(nn.ModuleList(ops)) for _ in range(edges)).to(x.device, dtype)
        torch.manual_seed(1)
        weights = [torch.randn(len(ops), dtype=dtype).to(x.device).requires_grad_() for _ in range(edges)]
        state = x.detach().to(dtype).requires_grad_()
        memo = Memo()
        out = torch.stack(
            [
                mixed(list(cast(nn.ModuleList, e)), w, state, memo, fused=fused)
                for e, w in zip(network, weights, strict=True)
            ]
        ).sum(0)
        memo.finish()
        wanted = [state, *weights, *network.parameters()]
        grad = torch.randn(out.shape, dtype=dtype, generator=torch.Generator().manual_seed(2)).to(x.device)
        found.append((out, torch.autograd.grad(out, wanted, grad), network.state_dict()))
    (plain, plain_grads, plain_state), (fast, fast_grads, fast_state) = found
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(fast, plain, atol=tolerance, rtol=tolerance)
    for ours, theirs in zip(fast_grads, plain_grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=10 * tolerance, rtol=10 * tolerance)
    torch.testing.assert_close(fast_state, plain_state, atol=tolerance, rtol=tolerance)
    return plain.detach(), fast.detach()
