"""New blocks of a deeper network that pass their input through, so that the function stays the same."""

import copy
from collections.abc import Iterator

from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.nn.modes import evaluating
from raynas.nn.morphism.growth import find_module
from raynas.nn.morphism.identity import BATCH_NORMS, identity_norm_, identity_weight_
from raynas.nn.morphism.layer_kinds import Conv


def let_new_blocks_pass(
    parent: nn.Module, child: nn.Module, input_example: Inputs
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Set the child's new blocks to pass their input through, in place, wherever their layers allow it.

    Args:
        parent: the network without the blocks.
        child: the network with them.
        input_example: a batch for the child.

    Returns:
        The names of the blocks that pass their input through, and notes on those that cannot.
    """
    passing, notes = [], []
    for name in _new_blocks(parent, child):
        block = child.get_submodule(name)
        seen = _input_of(child, block, input_example)
        if seen is None:
            notes.append(f"block {name} is new and keeps its fresh weights: its input is not one tensor")
        elif _set_to_pass(block, seen):
            passing.append(name)
        else:
            notes.append(f"block {name} is new and keeps its fresh weights: no setting of them gives the identity")
    return tuple(passing), tuple(notes)


def _new_blocks(parent: nn.Module, child: nn.Module) -> Iterator[str]:
    """Yield the blocks at the end of an ``nn.Sequential`` that is longer in the child."""
    for name, longer in child.named_modules():
        shorter = find_module(parent, name)
        if not isinstance(longer, nn.Sequential) or not isinstance(shorter, nn.Sequential):
            continue
        if all(type(old) is type(new) for old, new in zip(shorter, longer, strict=False)):
            yield from (f"{name}.{i}" if name else str(i) for i in range(len(shorter), len(longer)))


def _input_of(model: nn.Module, block: nn.Module, example: Inputs) -> Tensor | None:
    """Return the input of a block in a forward pass; None unless it is called once with a single tensor."""
    found: list[Tensor | None] = []

    def note(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        single = inputs[0] if len(inputs) == 1 else None
        found.append(single.clone() if isinstance(single, Tensor) else None)

    handle = block.register_forward_pre_hook(note)
    try:
        with evaluating(model):
            Arguments.of(example).call(model)
    finally:
        handle.remove()
    return found[0] if len(found) == 1 else None


def _set_to_pass(block: nn.Module, seen: Tensor) -> bool:
    """Make a block the identity: by a silent last layer of a residual branch, or else by layers that all pass."""
    if not seen.any():  # any block would pass zeros
        return False
    before = copy.deepcopy(block.state_dict())
    layers = [m for m in block.modules() if isinstance(m, (*Conv, nn.Linear, *BATCH_NORMS))]
    if not layers:
        return _passes(block, seen)
    for layer in reversed(layers):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        if _passes(block, seen):
            return True
        block.load_state_dict(before)
    for layer in layers:
        _let_pass(layer, seen)
    if _passes(block, seen):
        return True
    block.load_state_dict(before)
    return False


def _let_pass(layer: nn.Module, seen: Tensor) -> None:
    if isinstance(layer, BATCH_NORMS):
        if layer.affine and layer.num_features == seen.shape[1]:
            identity_norm_(layer, seen)
    else:
        assert isinstance(layer, (*Conv, nn.Linear))
        identity_weight_(layer.weight, getattr(layer, "groups", 1))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _passes(block: nn.Module, seen: Tensor) -> bool:
    with evaluating(block):
        result = block(seen.clone())
    limit = 1e-5 * max(1.0, float(seen.abs().max()))
    return isinstance(result, Tensor) and result.shape == seen.shape and float((result - seen).abs().max()) <= limit
