"""Layers that read groups of channels and put out none of them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from raynas.nn.dimensions.expressions import Atom, atoms
from raynas.nn.dimensions.tracing import Trace, tensors_in


class LayerWatch:
    """Inputs and outputs of the modules that hold parameters themselves, noted while a model runs."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = {path: module for path, module in model.named_modules() if module._parameters}
        self._taken: dict[nn.Module, list[Tensor]] = {}
        self._given: dict[nn.Module, list[Tensor]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what the layers take and give until the context ends."""
        with ExitStack() as stack:
            for layer in self._layers.values():
                stack.callback(layer.register_forward_hook(self._note, with_kwargs=True).remove)
            yield

    def _note(self, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        self._taken.setdefault(module, []).extend(tensors_in((args, kwargs)))
        self._given.setdefault(module, []).extend(tensors_in(output))

    def reads(self, trace: Trace) -> Mapping[str, set[Atom]]:
        """Return for each layer, by path, the groups that its inputs have and its outputs lack.

        Args:
            trace: the run, after which all is known of the dimensions.
        """
        return {
            path: _atoms(trace, self._taken.get(layer, [])) - _atoms(trace, self._given.get(layer, []))
            for path, layer in self._layers.items()
        }


def _atoms(trace: Trace, tensors: list[Tensor]) -> set[Atom]:
    return {atom for tensor in tensors for dimension in trace.of(tensor) for atom in atoms(dimension)}
