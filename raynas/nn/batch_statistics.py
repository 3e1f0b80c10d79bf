"""Statistics of batch norms in networks that are not being trained: of the current batch, or recalibrated."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from raynas.core.inputs import Arguments, Inputs
from raynas.nn.elastic_layers import ElasticBatchNorm2d
from raynas.nn.modes import evaluating, modes_kept

_PlainNorm = nn.modules.batchnorm._BatchNorm


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch norms use the statistics of each batch, in eval mode otherwise, until the context ends.

    The running statistics of a supernet average over all its subnets and fit none of them. Modes and running statistics
    are restored when the context ends.

    Args:
        model: a supernet or a network.
    """
    norms = [module for module in model.modules() if isinstance(module, _PlainNorm | ElasticBatchNorm2d)]
    buffers = list({id(buffer): buffer for norm in norms for buffer in norm.buffers()}.values())
    before = [buffer.clone() for buffer in buffers]
    with modes_kept(model):
        model.eval()
        for norm in norms:
            norm.train()
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)


def is_recalibrated(model: nn.Module) -> bool:
    """Return True if a network has batch norms that ``recalibrate`` sets: without any, it needs no examples."""
    return bool(_recalibrated(model))


def _recalibrated(model: nn.Module) -> list[_PlainNorm]:
    return [m for m in model.modules() if isinstance(m, _PlainNorm) and m.track_running_stats]


def recalibrate(model: nn.Module, batches: Iterable[Inputs]) -> None:
    """Replace the running statistics of a subnet's batch norms by those of its activations, in place.

    Running statistics of a supernet average over all its paths and fit none of them; a few batches correct that (Guo et
    al., "Single Path One-Shot", ECCV 2020, arXiv:1904.00420). Weights and modes are left unchanged.

    Args:
        model: a network, e.g. from ``Supernet.extract``; not a supernet, whose paths share one statistic.
        batches: inputs, on the model's device; the mean over all of them is kept. Batch norms that no batch reaches are
            left unchanged.

    Raises:
        ValueError: if there are batch norms but no batch.
    """
    norms = _recalibrated(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    n_batches = 0
    try:
        with evaluating(model):  # Dropout must not disturb the activations that the batch norms see.
            for norm in norms:
                norm.train()
                norm.reset_running_stats()
                norm.momentum = None  # The mean over all batches.
            for inputs in batches:
                Arguments.of(inputs).call(model)
                n_batches += 1
    finally:
        for norm, momentum, buffers in zip(norms, momenta, before, strict=True):
            norm.momentum = momentum
            if not int(norm.num_batches_tracked or 0):  # Not reached by the forward pass.
                norm.load_state_dict(buffers, strict=False)
    if not n_batches:
        raise ValueError("recalibration needs at least one batch of inputs")
