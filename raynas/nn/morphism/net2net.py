"""Net2Net: a network made wider or deeper that computes the same function.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (ICLR 2016, arXiv:1511.05641). Here
additions, concatenations, depthwise convolutions and flattened images between a widened layer and its consumers are
followed too, and every layer that an addition ties to it is widened alike.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import skip_init
from torch.nn.utils.parametrize import is_parametrized

from raynas.errors import RaynasError
from raynas.nn.modes import evaluating
from raynas.nn.morphism.channel_flow import ChannelFlow, Conv, Copies, Norm, is_depthwise, n_copies
from raynas.nn.morphism.identity import check_same_function, identity_norm_, identity_weight_, is_relu, relu_of


def widen(
    model: nn.Module,
    layer_name: str,
    n_out: int,
    *,
    input_example: Tensor,
    rng: np.random.Generator,
    noise: float = 0.0,
) -> nn.Module:
    """Net2WiderNet: replicate random units of a layer and divide the weights that read them by the replication count.

    The result computes the same in eval mode, and in training mode too as long as nothing is dropped. What lies between
    the layer and its consumers (batch norm, depthwise convolutions) is widened with it, and so is every other layer
    that an addition ties to it.

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
    n_now = _width(flow.modules[str(start.target)], layer_name)
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


def deepen(
    model: nn.Module,
    after_name: str,
    *,
    input_example: Tensor,
    kernel_size: int = 3,
    batch_norm: bool = True,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> nn.Module:
    """Net2DeeperNet: insert a layer, initialised as the identity, and its ReLU.

    The new layer is a convolution behind channels, a linear layer behind features. The statistics of its batch norm are
    those of ``input_example``, and its scale and shift undo them: exactly in eval mode, and in training mode as far as
    a batch has the statistics of the example.

    Args:
        model: the network; not changed.
        after_name: dotted name of the ReLU (or ReLU6) to insert behind, if it is called once; or of a layer whose
            result goes into such an activation only.
        input_example: a batch of real inputs, more than one for batch norm; shape ``(batch, ...)``.
        kernel_size: of the new convolution; odd.
        batch_norm: whether the new layer has one.
        noise: standard deviation of the noise on the new weights, as a share of the standard deviation of the weights
            that a fresh layer would have; the function is then preserved approximately.
        rng: of the noise.

    Returns:
        A deeper network. What was called ``after_name`` is now the first of a ``nn.Sequential``: no other name changes,
        and none at all behind an activation.

    Raises:
        RaynasError: if there is no such place, or the activation there is not idempotent: the paper's condition
            φ(I φ(x)) = φ(x) holds for ReLU and ReLU6 only.
        ValueError: if ``kernel_size`` is even, or ``noise`` is negative or comes without ``rng``.
    """
    if kernel_size % 2 == 0 or kernel_size < 1:
        raise ValueError(f"kernel_size must be odd and at least 1, got {kernel_size}")
    if not noise >= 0 or (noise and rng is None):
        raise ValueError(f"noise must be at least 0, and needs an rng, got {noise} and {rng}")
    deeper = copy.deepcopy(model)
    flow = ChannelFlow(deeper, input_example)
    node = flow.the_call(after_name)
    activation = _activation_behind(flow, node, after_name)
    old = deeper.get_submodule(after_name)
    is_behind = is_relu(old)
    seen = activation(_result_of(deeper, old, input_example))
    layer = _identity_layer(flow, node, kernel_size, bias=not batch_norm).to(seen)
    if batch_norm and flow.axis[node] != 1:
        raise RaynasError(f"a batch norm behind {after_name!r} would not find its channels: they are not dimension 1")
    new: list[nn.Module] = [layer, *([_identity_norm(seen)] if batch_norm else [])]
    parts = [old, *new, activation] if is_behind else [old, activation, *new]
    _replace(deeper, after_name, nn.Sequential(*parts).train(old.training))
    check_same_function(model, deeper, input_example, f"deepening behind {after_name!r}")
    if noise and rng is not None:
        # PyTorch draws fresh weights uniformly within 1 / sqrt(fan in).
        _add(layer.weight, noise / math.sqrt(3 * layer.weight[0].numel()), rng)
    return deeper


# --- widening --------------------------------------------------------------------------------------------------------


def _width(module: nn.Module, name: str) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, Conv) and not is_depthwise(module):
        return module.out_channels
    raise RaynasError(
        f"only a convolution without groups or a linear layer can be widened, and {name!r} is {module}: "
        "a depthwise one is widened with the layer before it"
    )


def _affected(flow: ChannelFlow, changed: Mapping[fx.Node, Copies]) -> Iterator[tuple[fx.Node, nn.Module]]:
    """The layers with weights whose input or output has other channels.

    Raises:
        RaynasError: if one of them is called twice or shares its weights.
    """
    for node in flow.nodes:
        if node.op != "call_module" or not any(n in changed for n in (node, *node.all_input_nodes)):
            continue
        module, name = flow.modules[str(node.target)], str(node.target)
        if isinstance(module, (*Conv, *Norm, nn.Linear)):
            if len(flow.calls(name)) > 1 or is_parametrized(module) or _shares_weights(flow.model, module):
                raise RaynasError(
                    f"layer {name!r} cannot be widened: it is called twice, or its weights are not its own"
                )
            yield node, module


def _shares_weights(model: nn.Module, module: nn.Module) -> bool:
    own = {id(parameter) for parameter in module.parameters(recurse=False)}
    others = (p for m in model.modules() if m is not module for p in m.parameters(recurse=False))
    return any(id(parameter) in own for parameter in others)


def _change(module: nn.Module, inputs: Copies | None, outputs: Copies | None) -> None:
    """Give a layer the channels of ``inputs`` and ``outputs``."""
    if isinstance(module, Norm):
        if outputs is not None:
            module.num_features = len(outputs)
            _select(module, outputs, "weight", "bias", "running_mean", "running_var")
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
    """Equation 2 of the paper: rows are replicated, columns replicated and divided by how often."""
    if inputs is not None:
        inputs = inputs.to(module.weight.device)
        counts = n_copies(inputs).to(module.weight.dtype)
        shared = module.weight.detach()[:, inputs] / counts.view(1, -1, *[1] * (module.weight.dim() - 2))
        module.weight = nn.Parameter(shared, requires_grad=module.weight.requires_grad)
    if outputs is not None:
        _select(module, outputs, "weight", "bias")


def _select(module: nn.Module, rows: Copies, *names: str) -> None:
    for name in names:
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
            _add(weight[row], scale, rng)
        seen.add(source)


def _add(tensor: Tensor, scale: float, rng: np.random.Generator) -> None:
    with torch.no_grad():
        tensor += torch.from_numpy(rng.normal(0.0, scale, tuple(tensor.shape))).to(tensor)


# --- deepening -------------------------------------------------------------------------------------------------------


def _activation_behind(flow: ChannelFlow, node: fx.Node, name: str) -> nn.Module:
    """A new activation like the one that ``node`` is, or that all of its users are."""
    if made := relu_of(node, flow.modules):
        return made
    made_all = [relu_of(user, flow.modules) for user in node.users]
    kinds = {type(made) for made in made_all}
    if len(kinds) != 1 or made_all[0] is None:
        raise RaynasError(
            f"the network cannot be deepened behind {name!r}: its result must be that of a ReLU or ReLU6, or go into "
            f"one only, as another activation would change what passes it twice; got {flow.modules[str(node.target)]} "
            f"used by {', '.join(user.name for user in node.users)}"
        )
    return made_all[0]


def _identity_layer(flow: ChannelFlow, node: fx.Node, kernel_size: int, *, bias: bool) -> Any:
    n_dims = len(flow.shapes[node])
    if node not in flow.axis:
        raise RaynasError(
            f"the network cannot be deepened there: which dimension has the channels of {node} is unclear"
        )
    n = flow.channels(node)
    if flow.axis[node] == n_dims - 1:
        layer: Any = skip_init(nn.Linear, n, n, bias=bias)
    else:
        layer = skip_init(Conv[n_dims - 3], n, n, kernel_size, padding=kernel_size // 2, bias=bias)
    identity_weight_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _identity_norm(seen: Tensor) -> nn.Module:
    if len(seen) < 2:
        raise RaynasError(f"the statistics of a batch norm need a batch of at least 2 examples, got {len(seen)}")
    if seen.dim() > 5:
        raise RaynasError(f"there is no batch norm for a tensor of shape {tuple(seen.shape)}")
    kind = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[seen.dim() - 2]
    norm = kind(seen.shape[1]).to(seen)
    identity_norm_(norm, seen)
    return norm


def _result_of(model: nn.Module, module: nn.Module, input_example: Tensor) -> Tensor:
    """What ``module`` gives when the network is called."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, result: found.append(result.clone()))
    try:
        with evaluating(model):
            model(input_example)
    finally:
        handle.remove()
    return found[0]


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, new)
