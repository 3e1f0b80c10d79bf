"""Net2DeeperNet: a network with one more layer that computes the same function.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (ICLR 2016, arXiv:1511.05641).
"""

import copy
import math

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import skip_init

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError
from raynas.nn.dimensions.expressions import atoms, resolved
from raynas.nn.dimensions.model_trace import ModelTrace
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.modes import evaluating
from raynas.nn.morphism.identity import (
    add_noise_,
    check_same_function,
    identity_norm_,
    identity_weight_,
    is_relu,
    relu_of,
)
from raynas.nn.morphism.layer_kinds import Conv


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
    trace = ModelTrace(deeper, input_example)
    output = trace.the_output(after_name)
    activation = _activation_behind(trace, output, after_name)
    axis = _channel_axis(trace, output, after_name)
    old = deeper.get_submodule(after_name)
    is_behind = is_relu(old)
    seen = activation(_result_of(deeper, old, input_example))
    layer = _identity_layer(seen, axis, kernel_size, bias=not batch_norm).to(seen)
    if batch_norm and axis != 1:
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


def _activation_behind(trace: ModelTrace, output: Tensor, name: str) -> nn.Module:
    """Return a new activation of the kind that the layer ``name`` is, or that all operations on its output are."""
    layer = trace.model.get_submodule(name)
    if is_relu(layer):
        return type(layer)()
    users = trace.users(output)
    found = [relu_of(step) for step in users]
    if not (users and users[-1].is_in_place) and any(tensor is output for tensor in tensors_in(trace.result)):
        found.append(None)
    if not found or None in found or len({type(made) for made in found}) != 1:
        raise RaynasError(
            f"the network cannot be deepened behind {name!r}: its result must be that of a ReLU or ReLU6, or go into "
            f"one only, as another activation would change what passes it twice; got {layer} "
            f"used by {', '.join(step.layer or step.name for step in users)}"
        )
    assert found[0] is not None
    return found[0]


def _channel_axis(trace: ModelTrace, output: Tensor, name: str) -> int:
    """Return the dimension of a tensor that convolutions or linear layers put out or read."""
    layers = [module for module in trace.model.modules() if isinstance(module, (*Conv, nn.Linear))]
    put_out = {atom for layer in layers for atom in atoms(trace.of(layer.weight)[0])}
    read = {resolved(trace.of(layer.weight)[1]) for layer in layers}
    axes = [
        axis for axis, dimension in enumerate(trace.of(output))
        if resolved(dimension) in read or not put_out.isdisjoint(atoms(dimension))
    ]  # fmt: skip
    if len(axes) != 1 or axes[0] not in (1, output.dim() - 1):
        raise RaynasError(f"the network cannot be deepened behind {name!r}: which dimension has channels is unclear")
    return axes[0]


def _identity_layer(
    seen: Tensor, axis: int, kernel_size: int, *, bias: bool
) -> nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d:
    n = seen.shape[axis]
    if axis == seen.dim() - 1:
        layer = skip_init(nn.Linear, n, n, bias=bias)
    else:
        layer = skip_init(Conv[seen.dim() - 3], n, n, kernel_size, padding=kernel_size // 2, bias=bias)
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
