"""Multiply-adds of a network, module by module."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from raynas.core.inputs import InputSpec
from raynas.metrics.cost import count_macs
from raynas.metrics.mac_counter import MacCounter


def macs_by_module(model: nn.Module, inputs: InputSpec | Sequence[int]) -> Mapping[str, int]:
    """Return the multiply-adds of each module for one example, without those of the modules in it, by dotted path.

    An operation counts for the innermost module whose ``forward`` runs, so the sum is that of ``count_macs``. A module
    at two places has the first one's path.

    Args:
        model: the network; it is left as it was.
        inputs: what it takes; see ``count_macs``.

    Raises:
        RaynasError: if the model cannot run.
    """
    watch = _Watch(model)
    with ExitStack() as hooks:
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(watch.enter).remove)
            hooks.callback(module.register_forward_hook(watch.leave).remove)
        count_macs(model, inputs)
    return {path: watch.macs.get(module, 0) for path, module in model.named_modules()}


class _Watch:
    """Attributes what a ``MacCounter`` counts to the modules that are running."""

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self.macs: dict[nn.Module, int] = {}
        self._open: list[nn.Module] = []
        self._before = 0

    def enter(self, module: nn.Module, args: object) -> None:
        if module is self.root:  # A second run, with values, begins from nothing.
            self.macs, self._open, self._before = {}, [], 0
        self._attribute()
        self._open.append(module)

    def leave(self, module: nn.Module, args: object, output: object) -> None:
        self._attribute()
        self._open.pop()

    def _attribute(self) -> None:
        counter = _get_current_dispatch_mode()
        assert isinstance(counter, MacCounter)
        if self._open:
            innermost = self._open[-1]
            self.macs[innermost] = self.macs.get(innermost, 0) + counter.macs - self._before
        self._before = counter.macs
