"""Lazy layers, whose width follows from the first input: their names, and a forward pass that resolves them."""

from collections.abc import Callable, Iterable
from itertools import chain

from torch import nn
from torch.nn.parameter import is_lazy

from raynas.core.inputs import Arguments, describe
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn.modes import evaluating


def lazy_layers(model: nn.Module) -> list[str]:
    """Return the dotted paths of layers whose width is not known yet."""
    tensors = chain(model.named_parameters(), model.named_buffers())
    return [name.rpartition(".")[0] for name, tensor in tensors if is_lazy(tensor)]


def resolve_lazy_layers(model: nn.Module, space: SearchSpace, passes: Iterable[Callable[[Arguments], object]]) -> None:
    """Run a model if it has lazy layers, so that they take the width of their input.

    Args:
        model: takes an example of the space.
        space: gives the example.
        passes: forward passes of the model on the example; made until no lazy layer is left.

    Raises:
        SpaceError: if a pass fails, or none reaches a lazy layer.
    """
    if not lazy_layers(model):
        return
    device = next(chain(model.parameters(), model.buffers())).device
    try:
        with evaluating(model):
            for forward in passes:
                forward(space.example(1, device))
                if not lazy_layers(model):
                    break
    except Exception as error:
        raise SpaceError(
            f"{space.name}: the forward pass that finds the widths of lazy layers failed on one example of "
            f"{describe(space.inputs)}: {error}; in a supernet, layers behind a choice of widths have to be elastic"
        ) from error
    if unreached := lazy_layers(model):
        raise SpaceError(f"{space.name}: the forward pass never reaches lazy layer {unreached[0]!r}; give it its width")
