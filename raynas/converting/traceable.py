"""A model that computes by operations whose dimensions a trace can follow."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from raynas.converting.attention import general_attention
from raynas.nn.dimensions.tracing import slow_attention


@contextmanager
def traceable(model: nn.Module) -> Iterator[None]:
    """Let a model compute without fused kernels for attention and LSTMs, until the context ends; its weights stay."""
    with ExitStack() as stack:
        stack.enter_context(slow_attention())
        stack.enter_context(general_attention(model))
        if any(isinstance(module, nn.LSTM) for module in model.modules()):  # Convolutions would be slower without.
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        yield
