"""Net2WiderNet: a network with a wider layer that computes the same function.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (ICLR 2016, arXiv:1511.05641). Here
additions, concatenations, depthwise convolutions and flattened images between a widened layer and its consumers are
followed too, and every layer that an addition ties to it is widened alike.
"""

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, fx, nn

from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.nn.morphism.channel_flow import ChannelFlow
from raynas.nn.morphism.channel_groups import NORM_SLOTS, OUTPUT_SLOTS, Conv, Norm, Slots, is_depthwise
from raynas.nn.morphism.channel_relations import Copies, n_copies
from raynas.nn.morphism.identity import add_noise_, check_same_function


def widen(
    model: nn.Module,
    layer_name: str,
    n_out: int,
    *,
    input_example: Inputs,
    rng: np.random.Generator,
    noise: float = 0.0,
) -> nn.Module:
    """Net2WiderNet: replicate random units of a layer and divide the weights that read them by the replication count.

    The result computes the same in eval mode, and in training mode too as long as there is no dropout. Layers between
    it and its consumers (batch norm, depthwise convolutions) are widened with it, and so is every other layer that an
    addition ties to it.

    Args:
        model: the network; not changed.
        layer_name: dotted name of a convolution (without groups) or linear layer.
        n_out: its new number of output channels or features, more than now.
        input_example: a batch that the network can be called with, shape ``(batch, ...)``.
        rng: chooses the units.
        noise: standard deviation of the noise on the weights of the copies, as a share of the standard deviation of the
            layer's weights. It breaks the symmetry of copies, which would otherwise stay equal in a network without
            dropout; the function is then preserved approximately.

    Returns:
        A wider network with the same names.

    Raises:
        RaynasError: if there is no such layer, ``n_out`` is not more than now, the network cannot be traced, or its
            channels cannot be changed, e.g. because they are the output.
        ValueError: if ``noise`` is negative.
    """
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0, got {noise}")
    wider = copy.deepcopy(model)
    flow = ChannelFlow(wider, input_example)
    start = flow.the_call(layer_name)
    n_now = _n_outputs(flow.modules[str(start.target)], layer_name)
    if n_out <= n_now:
        raise RaynasError(f"widening {layer_name!r} needs n_out > {n_now}, which it has, got {n_out}")
    # The mapping g of equation 1.
    copies = torch.cat([torch.arange(n_now), torch.from_numpy(rng.integers(n_now, size=n_out - n_now))])
    changed = flow.spread(start, copies)
    for node, module in _affected(flow, changed):
        _change(module, changed.get(node.all_input_nodes[0]), changed.get(node))
    check_same_function(model, wider, input_example, f"widening {layer_name!r}")
    if noise:
        for node, module in _affected(flow, changed):
            if node in changed and isinstance(module, (*Conv, nn.Linear)) and not is_depthwise(module):
                _add_noise(module.weight, changed[node], noise, rng)
    return wider


def _n_outputs(module: nn.Module, name: str) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, Conv) and not is_depthwise(module):
        return module.out_channels
    raise RaynasError(
        f"only a convolution without groups or a linear layer can be widened, and {name!r} is {module}: "
        "a depthwise one is widened with the layer before it"
    )


def _affected(flow: ChannelFlow, changed: Mapping[fx.Node, Copies]) -> Iterator[tuple[fx.Node, nn.Module]]:
    """Yield the layers with weights whose input or output has other channels.

    Raises:
        RaynasError: if one of them is called twice or shares its weights.
    """
    for node in flow.nodes:
        if node.op != "call_module" or not any(n in changed for n in (node, *node.all_input_nodes)):
            continue
        module, name = flow.modules[str(node.target)], str(node.target)
        if isinstance(module, (*Conv, *Norm, nn.Linear)):
            if not flow.is_independent(name):
                raise RaynasError(
                    f"layer {name!r} cannot be widened: it is called twice, or its weights are not its own"
                )
            yield node, module


def _change(module: nn.Module, inputs: Copies | None, outputs: Copies | None) -> None:
    """Give a layer the channels of ``inputs`` and ``outputs``."""
    if isinstance(module, Norm):
        if outputs is not None:
            module.num_features = len(outputs)
            _select(module, outputs, NORM_SLOTS)
    elif isinstance(module, Conv):
        if is_depthwise(module):
            assert inputs is not None
            module.groups, inputs = len(inputs), None
            module.in_channels = module.groups
        elif inputs is not None:
            module.in_channels = len(inputs)
        if outputs is not None:
            module.out_channels = len(outputs)
        _change_weights(module, inputs, outputs)
    elif isinstance(module, nn.Linear):
        module.in_features = len(inputs) if inputs is not None else module.in_features
        module.out_features = len(outputs) if outputs is not None else module.out_features
        _change_weights(module, inputs, outputs)


def _change_weights(
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear, inputs: Copies | None, outputs: Copies | None
) -> None:
    """Apply equation 2 of the paper: replicate rows, and replicate columns and divide them by the number of copies."""
    if inputs is not None:
        inputs = inputs.to(module.weight.device)
        counts = n_copies(inputs).to(module.weight.dtype)
        shared = module.weight.detach()[:, inputs] / counts.view(1, -1, *[1] * (module.weight.dim() - 2))
        module.weight = nn.Parameter(shared, requires_grad=module.weight.requires_grad)
    if outputs is not None:
        _select(module, outputs, OUTPUT_SLOTS)


def _select(module: nn.Module, rows: Copies, slots: Slots) -> None:
    for name, _ in slots:
        tensor = getattr(module, name, None)
        if isinstance(tensor, nn.Parameter):
            chosen = tensor.detach()[rows.to(tensor.device)]
            setattr(module, name, nn.Parameter(chosen, requires_grad=tensor.requires_grad))
        elif isinstance(tensor, Tensor):
            setattr(module, name, tensor[rows.to(tensor.device)])


def _add_noise(weight: Tensor, copies: Copies, noise: float, rng: np.random.Generator) -> None:
    """Add noise to all but the first copy of each unit."""
    seen: set[int] = set()
    scale = noise * float(weight.detach().std())
    for row, source in enumerate(copies.tolist()):
        if source in seen:
            add_noise_(weight[row], scale, rng)
        seen.add(source)
