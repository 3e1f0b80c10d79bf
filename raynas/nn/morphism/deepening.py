"""Net2DeeperNet: a network with one more layer that computes the same function.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (ICLR 2016, arXiv:1511.05641).
"""

import copy
import math

import numpy as np
from torch import Tensor, fx, nn
from torch.nn.utils import skip_init

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError
from raynas.nn.modes import evaluating
from raynas.nn.morphism.channel_flow import ChannelFlow
from raynas.nn.morphism.channel_groups import Conv
from raynas.nn.morphism.identity import (
    add_noise_,
    check_same_function,
    identity_norm_,
    identity_weight_,
    is_relu,
    relu_of,
)


def deepen(
    model: nn.Module,
    after_name: str,
    *,
    input_example: Inputs,
    kernel_size: int = 3,
    batch_norm: bool = True,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> nn.Module:
    """Net2DeeperNet: insert a layer, initialised as the identity, and its ReLU.

    The new layer is a convolution behind images, a linear layer behind features. The statistics of its batch norm are
    those of ``input_example``, and its scale and shift undo them: exactly in eval mode, and in training mode as far as
    a batch has the statistics of the example.

    Args:
        model: the network; not changed.
        after_name: dotted name of the ReLU (or ReLU6) to insert behind, if it is called once; or of a layer whose
            result goes into such an activation only.
        input_example: a batch of real inputs, more than one for batch norm; shape ``(batch, ...)``.
        kernel_size: of the new convolution; odd.
        batch_norm: True for a batch norm behind the new layer.
        noise: standard deviation of the noise on the new weights, as a share of the standard deviation of the weights
            that a fresh layer would have; the function is then preserved approximately.
        rng: of the noise.

    Returns:
        A deeper network. The layer ``after_name`` is now the first of a ``nn.Sequential``: no other name changes, and
        none at all behind an activation.

    Raises:
        RaynasError: if there is no such layer, or the activation behind it is not idempotent: the paper's condition
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
    if batch_norm and flow.relations.axis[node] != 1:
        raise RaynasError(f"a batch norm behind {after_name!r} would not find its channels: they are not dimension 1")
    new: list[nn.Module] = [layer, *([_identity_norm(seen)] if batch_norm else [])]
    parts = [old, *new, activation] if is_behind else [old, activation, *new]
    parent, _, attribute = after_name.rpartition(".")
    setattr(deeper.get_submodule(parent), attribute, nn.Sequential(*parts).train(old.training))
    check_same_function(model, deeper, input_example, f"deepening behind {after_name!r}")
    if noise and rng is not None:
        # PyTorch draws fresh weights uniformly within 1 / sqrt(fan in).
        add_noise_(layer.weight, noise / math.sqrt(3 * layer.weight[0].numel()), rng)
    return deeper


def _activation_behind(flow: ChannelFlow, node: fx.Node, name: str) -> nn.Module:
    """Return a new activation of the kind that ``node`` is, or that all of its users are."""
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


def _identity_layer(
    flow: ChannelFlow, node: fx.Node, kernel_size: int, *, bias: bool
) -> nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d:
    n_dims = len(flow.relations.shapes[node])
    if node not in flow.relations.axis:
        raise RaynasError(
            f"the network cannot be deepened there: which dimension has the channels of {node} is unclear"
        )
    n = flow.relations.n_channels(node)
    if flow.relations.axis[node] == n_dims - 1:
        layer = skip_init(nn.Linear, n, n, bias=bias)
    else:
        layer = skip_init(Conv[n_dims - 3], n, n, kernel_size, padding=kernel_size // 2, bias=bias)
    assert isinstance(layer, (nn.Linear, *Conv))
    identity_weight_(layer.weight)
    if layer.bias is not None:
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


def _result_of(model: nn.Module, module: nn.Module, input_example: Inputs) -> Tensor:
    """Return the output of ``module`` when the network is called."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, result: found.append(result.clone()))
    try:
        with evaluating(model):
            Arguments.of(input_example).call(model)
    finally:
        handle.remove()
    return found[0]
