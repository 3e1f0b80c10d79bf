"""Training of a plain network on a CPU with fast gradients of its depthwise convolutions, where they pay."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from raynas.nn.fast.depthwise import Pair, depthwise_conv2d, is_depthwise, pays

_METHOD = "_conv_forward"
"""The method of ``nn.Conv2d`` that its ``forward`` calls with the input, the weight and the bias."""


@contextmanager
def fast_depthwise_gradients(model: nn.Module) -> Iterator[None]:
    """Let the depthwise convolutions of a model compute their gradients by ``depthwise_conv2d`` where that is faster.

    Gradients are the same but for rounding. Modules keep their class, their weights and their hooks, and are as they
    were afterwards: the network that is saved or exported is plain.
    """
    convs = [m for m in model.modules() if is_depthwise(m) and _METHOD not in vars(m)]
    for conv in convs:
        vars(conv)[_METHOD] = partial(_conv_forward, conv)
    try:
        yield
    finally:
        for conv in convs:
            vars(conv).pop(_METHOD, None)


def _conv_forward(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    stride, padding, dilation = (cast(Pair, sizes) for sizes in (conv.stride, conv.padding, conv.dilation))
    trains = torch.is_grad_enabled() and x.dim() == 4 and not torch.compiler.is_compiling()
    if trains and pays(x, weight, stride, dilation, conv.groups):
        return depthwise_conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)
    out: Tensor = nn.Conv2d._conv_forward(conv, x, weight, bias)
    return out
