"""The calls of a network's modules in a forward pass, with the operations of each: what a table of latencies sums."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Inputs
from raynas.metrics.mac_counter import MacCounter, Outcomes, description, macs_of, no_garbage_collection

TensorShape = tuple[tuple[int, ...], torch.dtype]
"""Shape and type of a tensor."""


@dataclass(eq=False)
class Call:
    """A call of a module.

    Args:
        path: the module's dotted path in the network.
        kind: its class; of a ``Sequential``, the classes in it too.
        inputs: its arguments, if they are tensors by position alone; else None.
        operations: of the module itself and of those that it calls, in order, each with the shapes of its arguments.
        children: the calls that it makes.
        n_own: number of the operations that are its own.
        own_macs: their multiply-adds.
        own_elements: number of the values that they put out.
        own_weights: number of the module's own parameters.
    """

    path: str
    kind: str
    inputs: tuple[TensorShape, ...] | None
    operations: list[str] = field(default_factory=list)
    children: "list[Call]" = field(default_factory=list)
    n_own: int = 0
    own_macs: int = 0
    own_elements: int = 0
    own_weights: int = 0

    @cached_property
    def key(self) -> str:
        """Equal for two calls that compute the same on inputs of the same shapes."""
        return hashlib.sha256("\n".join(self.operations).encode()).hexdigest()[:16]

    @property
    def macs(self) -> int:
        """The multiply-adds, of the children too."""
        return self.own_macs + sum(child.macs for child in self.children)

    @property
    def elements(self) -> int:
        """The number of values that all its operations put out."""
        return self.own_elements + sum(child.elements for child in self.children)

    @property
    def weights(self) -> int:
        """The number of parameters, of the children too."""
        return self.own_weights + sum(child.weights for child in self.children)

    @property
    def can_be_timed(self) -> bool:
        """True if the module can run alone on inputs of its shapes, and computes something."""
        return self.inputs is not None and bool(self.operations)

    @property
    def can_be_divided(self) -> bool:
        """True if nearly all that it computes is computed by its children."""
        return bool(self.children) and self.own_macs == 0

    def all(self) -> "Iterator[Call]":
        """Yield this call and all in it."""
        yield self
        for child in self.children:
            yield from child.all()


def calls_of(model: nn.Module, example: Callable[[], Inputs], known: Outcomes) -> Call:
    """Return the call of a network; it runs without values, and is left as it was.

    Args:
        model: the network.
        example: makes its inputs, on the meta device.
        known: outcomes of earlier operations; more are added.

    Raises:
        RaynasError: if it cannot run without values.
    """
    recorder = _Recorder(model, known)
    with ExitStack() as hooks, no_garbage_collection():
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(recorder.enter, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(recorder.leave).remove)
        macs_of(model, example, recorder)
    return recorder.root.children[0]


class _Recorder(MacCounter):
    """Attributes the operations that run under it to the calls of modules."""

    def __init__(self, model: nn.Module, known: Outcomes) -> None:
        super().__init__(known)
        self.root = Call("", "", None)
        self._open = [self.root]
        self._about = {module: (path, _kind(module)) for path, module in model.named_modules()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self.macs
        result = super().__torch_dispatch__(func, types, args, kwargs)
        text = f"{func}{description(args)}{description(tuple((kwargs or {}).items()))}"
        for call in self._open:
            call.operations.append(text)
        innermost = self._open[-1]
        innermost.n_own += 1
        innermost.own_macs += self.macs - before
        innermost.own_elements += 0 if _is_view(func) else _n_elements(result)
        return result

    def enter(self, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Open the call of a module."""
        own_weights = sum(weight.numel() for weight in module.parameters(recurse=False))
        call = Call(*self._about[module], None if kwargs else _shapes(args), own_weights=own_weights)
        self._open[-1].children.append(call)
        self._open.append(call)

    def leave(self, module: nn.Module, args: object, output: object) -> None:
        """Close the call of a module."""
        self._open.pop()


def _kind(module: nn.Module) -> str:
    name = f"{type(module).__module__}.{type(module).__qualname__}"
    return f"{name}({', '.join(map(_kind, module.children()))})" if isinstance(module, nn.Sequential) else name


def _shapes(args: tuple[object, ...]) -> tuple[TensorShape, ...] | None:
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    return tuple((tuple(t.shape), t.dtype) for t in tensors) if len(tensors) == len(args) > 0 else None


def _is_view(func: Any) -> bool:
    """Return True if an operation only describes its argument in another way."""
    aliases = [returned.alias_info for returned in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def _n_elements(result: object) -> int:
    if isinstance(result, Tensor):
        return result.numel()
    return sum(map(_n_elements, result)) if isinstance(result, (list, tuple)) else 0
