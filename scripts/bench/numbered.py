"""Is a network that another library made smaller right? Found out with weights that are their own positions.

Before the library prunes a model, each weight becomes the number of its position. What it kept can then be read off the
pruned network: it gets the given weights back, and must compute what the given model does when all other weights are
zero.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from scripts.bench.outputs import gap, output
from scripts.bench.silenced import counted_output


def number(model: nn.Module) -> None:
    """Replace each weight and batch statistic of a model in double precision by the number of its position."""
    for _, tensor in _weights(model):
        tensor.data.copy_(torch.arange(tensor.numel()).view(tensor.shape))


def gap_of_pruned(pruned: nn.Module, given: nn.Module, example: Arguments) -> float:
    """Return how far a pruned network is from the given model whose other weights are zero.

    Args:
        pruned: made of a model that was numbered; gets the given weights.
        given: the model in double precision, as it was.
        example: inputs.

    Returns:
        The largest difference as a share of the largest output.
    """
    silent = copy.deepcopy(given)
    weights = dict(_weights(silent))
    for name, tensor in _weights(pruned):
        positions = tensor.detach().long().flatten()
        values = weights[name].detach().flatten()
        tensor.data.copy_(values[positions].view(tensor.shape))
        if not name.endswith("running_var"):
            kept = torch.zeros_like(values)
            kept[positions] = values[positions]
            weights[name].data.copy_(kept.view(weights[name].shape))
    return gap(output(pruned.eval(), example), counted_output(silent.eval(), example))


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    statistics = ("running_mean", "running_var")
    yield from ((name, tensor) for name, tensor in model.named_buffers() if name.endswith(statistics))
