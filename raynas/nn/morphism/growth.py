"""Growth of a parent's layers to the sizes of a child's, function-preserving: larger kernels and wider layers.

Wider layers as in Net2Net (arXiv:1511.05641), larger kernels as in network morphism (Wei et al., ICML 2016,
arXiv:1603.01670).
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.nn.morphism.channel_groups import Conv, is_depthwise
from raynas.nn.morphism.widening import widen


def find_module(model: nn.Module, name: str) -> nn.Module | None:
    """Return the submodule of a dotted path; None if there is none."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def are_alike(first: nn.Module, second: nn.Module | None) -> bool:
    """Return whether two modules are of the same kind, so that one can use the weights of the other."""
    if isinstance(first, Conv) and isinstance(second, Conv):
        return type(first) is type(second) and is_depthwise(first) == is_depthwise(second)
    return type(first) is type(second)


def alike_state(parent: nn.Module, child: nn.Module) -> Mapping[str, Tensor]:
    """Return the parent's state without that of modules whose name in the child has one of another kind."""
    same = {name for name, module in parent.named_modules() if are_alike(module, find_module(child, name))}
    return {name: tensor for name, tensor in parent.state_dict().items() if name.rpartition(".")[0] in same}


def grow_kernels(parent: nn.Module, child: nn.Module) -> None:
    """Pad the kernels of the parent's convolutions with zeros to the size of the child's, in place."""
    for name, module in parent.named_modules():
        larger = find_module(child, name)
        if not isinstance(module, Conv) or not isinstance(larger, Conv) or not are_alike(module, larger):
            continue
        growth = [new - old for new, old in zip(larger.kernel_size, module.kernel_size, strict=True)]
        if any(growth) and all(n >= 0 and n % 2 == 0 for n in growth):
            sides = [side for n in reversed(growth) for side in (n // 2, n // 2)]
            module.weight = nn.Parameter(nn.functional.pad(module.weight.detach(), sides))
            module.kernel_size, module.padding = larger.kernel_size, larger.padding
            module._reversed_padding_repeated_twice = list(larger._reversed_padding_repeated_twice)


def widened_like(
    parent: nn.Module, child: nn.Module, input_example: Inputs, rng: np.random.Generator
) -> tuple[nn.Module, tuple[str, ...], tuple[str, ...]]:
    """Widen every layer of the parent that is wider in the child, wherever the result fits into the child.

    Args:
        parent: the network to widen; not changed.
        child: the network whose widths are wanted.
        input_example: a batch for the parent.
        rng: chooses the units that are replicated.

    Returns:
        The widened network, the names of the widened layers, and notes on those that could not be widened.
    """
    widened, notes = [], []
    for name in [name for name, module in parent.named_modules() if isinstance(module, (*Conv, nn.Linear))]:
        layer, wider_layer = parent.get_submodule(name), find_module(child, name)
        if not are_alike(layer, wider_layer) or _n_outputs(wider_layer) <= _n_outputs(layer):
            continue
        try:
            wider = widen(parent, name, _n_outputs(wider_layer), input_example=input_example, rng=rng)
        except RaynasError as error:
            if not is_depthwise(layer):
                notes.append(f"{name} became wider, and only the overlap was copied: {error}")
            continue
        if misfit := _misfit(parent, wider, child):
            notes.append(f"{name} became wider, and only the overlap was copied: {misfit} would not fit")
            continue
        parent = wider
        widened.append(name)
    return parent, tuple(widened), tuple(notes)


def _n_outputs(module: nn.Module | None) -> int:
    if isinstance(module, Conv):
        return module.out_channels
    return module.out_features if isinstance(module, nn.Linear) else 0


def _misfit(before: nn.Module, wider: nn.Module, child: nn.Module) -> str:
    """Return the name of a tensor that became larger than the child's; empty if there is none."""
    old, wanted = before.state_dict(), child.state_dict()
    for name, tensor in wider.state_dict().items():
        module = name.rpartition(".")[0]
        is_inherited = name in wanted and are_alike(wider.get_submodule(module), find_module(child, module))
        if tensor.shape != old[name].shape and is_inherited:
            sizes = zip(tensor.shape, old[name].shape, wanted[name].shape, strict=True)
            if any(new != was and new > limit for new, was, limit in sizes):
                return name
    return ""
