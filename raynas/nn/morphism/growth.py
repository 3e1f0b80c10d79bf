"""Growth of a parent's layers to the sizes of a child's, function-preserving: larger kernels and wider layers.

Wider layers as in Net2Net (arXiv:1511.05641), larger kernels as in network morphism (Wei et al., ICML 2016,
arXiv:1603.01670).
"""

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor, nn

from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.nn.dimensions.expressions import Atom, Kept
from raynas.nn.morphism.identity import check_same_function
from raynas.nn.morphism.layer_kinds import Conv, is_depthwise
from raynas.nn.morphism.widening import Widening


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
    wanted = dict(_wider_layers(parent, child))
    if not wanted:
        return parent, (), ()
    try:
        growth = _Growth(Widening(parent, input_example), child)
    except RaynasError as error:
        return parent, (), tuple(_note(name, error) for name in wanted)
    for name, n_out in wanted.items():
        growth.add(name, n_out, rng)
    return growth.grown(input_example), tuple(growth.copies), tuple(growth.notes)


def _wider_layers(parent: nn.Module, child: nn.Module) -> Iterator[tuple[str, int]]:
    """Yield the layers of the parent that are wider in the child, with their width there."""
    for name, layer in parent.named_modules():
        wider = find_module(child, name)
        if not isinstance(layer, (*Conv, nn.Linear)) or not isinstance(wider, (*Conv, nn.Linear)):
            continue
        if are_alike(layer, wider) and not is_depthwise(layer) and len(wider.weight) > len(layer.weight):
            yield name, len(wider.weight)


def _note(name: str, reason: object) -> str:
    return f"{name} became wider, and only the overlap was copied: {reason}"


class _Growth:
    """Layers of a parent that become as wide as in a child.

    Args:
        widening: of the parent.
        child: the sizes of its tensors are the limit.

    Attributes:
        copies: by name of a widened layer, its group of units and the old unit that each new one copies.
        notes: on layers that could not be widened.
    """

    def __init__(self, widening: Widening, child: nn.Module) -> None:
        self.widening = widening
        self.child = child
        self.copies: dict[str, tuple[Atom, Tensor]] = {}
        self.notes: list[str] = []

    def add(self, name: str, n_out: int, rng: np.random.Generator) -> None:
        """Widen one more layer, unless it became wide enough with others."""
        kept = dict(self.copies.values())
        if self.widening.width(name, kept) >= n_out:
            return
        try:
            atom, copies = self.widening.copies(name, n_out, kept, rng)
        except RaynasError as error:
            self.notes.append(_note(name, error))
            return
        if misfit := self._misfit({**kept, atom: copies}):
            self.notes.append(_note(name, f"{misfit} would not fit"))
        else:
            self.copies[name] = atom, copies

    def _misfit(self, kept: Kept) -> str:
        """Return the name of a tensor that would become larger than the child's; empty if there is none."""
        parent, wanted = self.widening.model, self.child.state_dict()
        for path, name, shape in self.widening.changed(kept):
            whole = f"{path}.{name}" if path else name
            module = parent.get_submodule(path)
            if whole in wanted and are_alike(module, find_module(self.child, path)):
                sizes = zip(shape, getattr(module, name).shape, wanted[whole].shape, strict=True)
                if any(new != was and new > limit for new, was, limit in sizes):
                    return whole
        return ""

    def grown(self, input_example: Inputs) -> nn.Module:
        """Return the wider network; layers without which alone it computes the same are noted and stay."""
        parent, change = self.widening.model, f"widening {', '.join(self.copies)}"
        try:
            wider = self.widening.applied(dict(self.copies.values()))
            check_same_function(parent, wider, input_example, change)
            return wider
        except RaynasError:
            planned, self.copies, wider = self.copies, {}, parent
        for name, each in planned.items():
            tried = self.widening.applied(dict((*self.copies.values(), each)))
            try:
                check_same_function(parent, tried, input_example, f"widening {name!r}")
            except RaynasError as error:
                self.notes.append(_note(name, error))
            else:
                self.copies[name], wider = each, tried
        return wider
