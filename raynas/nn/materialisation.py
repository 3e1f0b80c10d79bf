"""Materialisation of a model with choices: every choice is replaced by the plain module of its option."""

from collections.abc import Callable, Mapping
from functools import cached_property

from torch import nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn.decision_module import DecisionModule
from raynas.nn.discovery import decision_name, join, undecided_modules
from raynas.nn.elastic import ElasticLayer


def materialise(
    model: nn.Module,
    options: Mapping[str, Option],
    widths: Callable[[], Mapping[str, int]] = dict,
) -> nn.Module:
    """Replace every choice in ``model``, and in its replacements, by the module of its option; in place.

    Args:
        model: holds the choices; may be a choice itself.
        options: the option of each decision.
        widths: gives the number of input channels of each elastic layer, by dotted path; called only if there is one.

    Returns:
        ``model``, or its replacement if it is a choice.

    Raises:
        SpaceError: if a decision has no option, or an elastic layer no width.
    """
    return _Materialisation(options, widths).materialised(model, "")


class _Materialisation:
    """Options, widths and finished modules; closures instead would keep each network alive in a cycle."""

    def __init__(self, options: Mapping[str, Option], widths: Callable[[], Mapping[str, int]]) -> None:
        self.options = options
        self.find_widths = widths
        self.done: dict[nn.Module, nn.Module] = {}

    @cached_property
    def widths(self) -> Mapping[str, int]:
        """Number of input channels of each elastic layer."""
        return self.find_widths()

    def materialised(self, module: nn.Module, path: str) -> nn.Module:
        """Replace the choices in a module and return the module that takes its position."""
        if isinstance(module, DecisionModule | ElasticLayer):
            if module not in self.done:
                self.done[module] = self._replacement(module, path)
            return self.done[module]
        for undecided in list(undecided_modules(module, path)):
            setattr(undecided.parent, undecided.attribute, self.materialised(undecided.module, undecided.path))
        return module

    def _replacement(self, module: DecisionModule | ElasticLayer, path: str) -> nn.Module:
        if isinstance(module, ElasticLayer):
            return self._plain_layer(module, path)

        def branch_of(name: str) -> nn.Module:
            return self.materialised(module.make(name), join(path, name))

        return module.assemble(self._option(module, path), branch_of)

    def _plain_layer(self, layer: ElasticLayer, path: str) -> nn.Module:
        if path not in self.widths:
            raise SpaceError(f"the elastic layer at {path!r} is never reached by the network's forward pass")
        options = {argument: self._option(size, join(path, argument)) for argument, size in layer.size_choices.items()}
        return layer.plain(self.widths[path], layer.sizes(options, self.widths[path]))

    def _option(self, choice: DecisionModule, path: str) -> Option:
        name = decision_name(choice, path)
        if name not in self.options:
            raise SpaceError(f"choice {name!r} was not there before: a factory must make the same model at each call")
        return self.options[name]
