"""An architecture that inherits the weights of another one, computing the same where it only grew.

After the inheritance of Real et al., "Large-Scale Evolution of Image Classifiers" (ICML 2017, arXiv:1703.01041), with
the function-preserving changes of Net2Net (arXiv:1511.05641) and of network morphism (Wei et al., ICML 2016,
arXiv:1603.01670) where a layer became wider, a kernel larger, or a stage deeper.
"""

import copy
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line
from raynas.nn.modes import evaluating
from raynas.nn.morphism.channel_flow import Conv, is_depthwise
from raynas.nn.morphism.identity import identity_norm_, identity_weight_
from raynas.nn.morphism.inheritance import Inheritance, Weights, inherit
from raynas.nn.morphism.net2net import widen

logger = logging.getLogger(__name__)


def inherit_architecture(
    space: SearchSpace,
    parent_arch: Mapping[str, Option],
    parent_weights: Weights,
    child_arch: Mapping[str, Option],
    *,
    input_example: Tensor | None = None,
    seed: int = 0,
) -> nn.Module:
    """Build an architecture and let it inherit from another one; see ``inherit_between``, whose report is logged.

    Args:
        space: what both belong to.
        parent_arch: the architecture of the weights.
        parent_weights: its network or state_dict.
        child_arch: the architecture to build; fresh weights come from torch's global generator.
        input_example: a batch of real inputs.
        seed: of the choice which units are replicated.

    Raises:
        RaynasError: if an architecture is not a member, or the weights are not those of ``parent_arch``.
    """
    child = space.build(space.canonical(child_arch))
    report = inherit_between(
        space, parent_arch, parent_weights, child_arch, child, input_example=input_example, seed=seed
    )
    logger.info("inherited: %s", report)
    return child


def inherit_between(
    space: SearchSpace,
    parent_arch: Mapping[str, Option],
    parent_weights: Weights,
    child_arch: Mapping[str, Option],
    child: nn.Module,
    *,
    input_example: Tensor | None = None,
    seed: int = 0,
) -> Inheritance:
    """Let the network of one architecture inherit from the weights of another, keeping the function where possible.

    - Where nothing changed, weights keep their names and are copied.
    - A layer that became wider is widened as in Net2Net, a larger kernel gets zeros around it; where this does not fit
      the child, the overlap is copied.
    - Blocks at the end of an ``nn.Sequential`` that became longer (a ``Repeat`` grown deeper) are set to pass their
      input through, if some setting of their last layer (in a residual block) or of all layers (convolution, batch norm
      and ReLU behind a ReLU) does that; otherwise they stay fresh, and a note says so.
    - Layers of another kind than the one that had their name (another option was chosen) stay fresh.

    Args:
        space: what both belong to.
        parent_arch: the architecture of the weights.
        parent_weights: its network or state_dict.
        child_arch: the architecture of ``child``.
        child: the network to copy into.
        input_example: a batch of real inputs, from which new batch norms take their statistics; random by default.
        seed: of the choice which units are replicated.

    Raises:
        RaynasError: if an architecture is not a member, or the weights are not those of ``parent_arch``.
    """
    parent_arch, child_arch = space.canonical(parent_arch), space.canonical(child_arch)
    rng = np.random.default_rng(seed)
    if input_example is None:
        input_example = torch.from_numpy(rng.standard_normal((4, *space.input_shape), dtype=np.float32))
    with torch.random.fork_rng(devices=[]):
        parent = space.build(parent_arch)
    _load(parent, parent_weights)
    if parent_arch == child_arch:
        return inherit(child, parent)
    _grow_kernels(parent, child)
    parent, widened, notes = _widened(parent, child, input_example.to(_device(parent)), rng)
    kept = _without_other_kinds(parent, child)
    report = inherit(child, kept)
    passing, more_notes = _let_new_blocks_pass(parent, child, input_example.to(_device(child)))
    return replace(report, widened=widened, passing=passing, notes=(*notes, *more_notes))


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))


# --- the parent's weights ---------------------------------------------------------------------------------------------


def _load(parent: nn.Module, weights: Weights) -> None:
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    try:
        parent.load_state_dict(state)  # copies
    except RuntimeError as error:
        raise RaynasError(f"the weights are not those of the parent's architecture: {one_line(error)}") from error


def _without_other_kinds(parent: nn.Module, child: nn.Module) -> Mapping[str, Tensor]:
    """The parent's state, without that of modules whose name in the child has one of another kind."""
    same = {name for name, module in parent.named_modules() if _alike(module, _find(child, name))}
    return {name: tensor for name, tensor in parent.state_dict().items() if name.rpartition(".")[0] in same}


def _find(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _alike(first: nn.Module, second: nn.Module | None) -> bool:
    """Whether the weights of one mean something to the other."""
    if isinstance(first, Conv) and isinstance(second, Conv):
        return type(first) is type(second) and is_depthwise(first) == is_depthwise(second)
    return type(first) is type(second)


# --- larger kernels and wider layers ----------------------------------------------------------------------------------


def _grow_kernels(parent: nn.Module, child: nn.Module) -> None:
    """Put zeros around the kernels of convolutions that became larger, so that they compute the same."""
    for name, module in parent.named_modules():
        larger = _find(child, name)
        if not isinstance(module, Conv) or type(module) is not type(larger) or not _alike(module, larger):
            continue
        assert isinstance(larger, Conv)
        growth = [new - old for new, old in zip(larger.kernel_size, module.kernel_size, strict=True)]
        if any(growth) and all(n >= 0 and n % 2 == 0 for n in growth):
            sides = [side for n in reversed(growth) for side in (n // 2, n // 2)]
            module.weight = nn.Parameter(nn.functional.pad(module.weight.detach(), sides))
            module.kernel_size, module.padding = larger.kernel_size, larger.padding
            module._reversed_padding_repeated_twice = list(larger._reversed_padding_repeated_twice)


def _widened(
    parent: nn.Module, child: nn.Module, input_example: Tensor, rng: np.random.Generator
) -> tuple[nn.Module, tuple[str, ...], tuple[str, ...]]:
    """The parent with every layer widened that became wider, where this fits; the layers; what did not fit."""
    widened, notes = [], []
    for name in [name for name, module in parent.named_modules() if isinstance(module, (*Conv, nn.Linear))]:
        n_now, n_then = _width(parent.get_submodule(name)), _width(_find(child, name))
        if not _alike(parent.get_submodule(name), _find(child, name)) or n_then <= n_now:
            continue
        try:
            wider = widen(parent, name, n_then, input_example=input_example, rng=rng)
        except RaynasError as error:
            if not is_depthwise(parent.get_submodule(name)):
                notes.append(f"{name} became wider, and only the overlap was copied: {error}")
            continue
        if misfit := _misfit(parent, wider, child):
            notes.append(f"{name} became wider, and only the overlap was copied: {misfit} would not fit")
            continue
        parent = wider
        widened.append(name)
    return parent, tuple(widened), tuple(notes)


def _width(module: nn.Module | None) -> int:
    if isinstance(module, Conv):
        return module.out_channels
    return module.out_features if isinstance(module, nn.Linear) else 0


def _misfit(before: nn.Module, wider: nn.Module, child: nn.Module) -> str:
    """A tensor that widening made wider than the child has it, if there is one."""
    old, wanted = before.state_dict(), child.state_dict()
    for name, tensor in wider.state_dict().items():
        if tensor.shape != old[name].shape and _alike_at(name, wider, child):
            sizes = zip(tensor.shape, old[name].shape, wanted[name].shape, strict=True)
            if any(new != was and new > limit for new, was, limit in sizes):
                return name
    return ""


def _alike_at(name: str, first: nn.Module, second: nn.Module) -> bool:
    module = name.rpartition(".")[0]
    return name in second.state_dict() and _alike(first.get_submodule(module), _find(second, module))


# --- deeper stages ----------------------------------------------------------------------------------------------------


def _let_new_blocks_pass(
    parent: nn.Module, child: nn.Module, input_example: Tensor
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Set new blocks to pass their input through; gives their names, and notes on those that cannot."""
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
    for name, longer in child.named_modules():
        shorter = _find(parent, name)
        if not isinstance(longer, nn.Sequential) or not isinstance(shorter, nn.Sequential):
            continue
        if all(type(old) is type(new) for old, new in zip(shorter, longer, strict=False)):
            yield from (f"{name}.{i}" if name else str(i) for i in range(len(shorter), len(longer)))


def _input_of(model: nn.Module, block: nn.Module, example: Tensor) -> Tensor | None:
    found: list[Tensor | None] = []

    def note(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        single = inputs[0] if len(inputs) == 1 else None
        found.append(single.clone() if isinstance(single, Tensor) else None)

    handle = block.register_forward_pre_hook(note)
    try:
        with evaluating(model):
            model(example)
    finally:
        handle.remove()
    return found[0] if len(found) == 1 else None


def _set_to_pass(block: nn.Module, seen: Tensor) -> bool:
    """Try what makes a block the identity: a silent last layer of a residual branch, then layers that all pass."""
    if not seen.any():  # anything would pass that
        return False
    before = copy.deepcopy(block.state_dict())
    layers = [m for m in block.modules() if isinstance(m, (*Conv, nn.Linear, *_BATCH_NORMS))]
    if not layers:
        return _passes(block, seen)
    for layer in reversed(layers):
        _silence(layer)
        if _passes(block, seen):
            return True
        block.load_state_dict(before)
    for layer in layers:
        _let_pass(layer, seen)
    if _passes(block, seen):
        return True
    block.load_state_dict(before)
    return False


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _silence(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _let_pass(layer: nn.Module, seen: Tensor) -> None:
    if isinstance(layer, _BATCH_NORMS):
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
