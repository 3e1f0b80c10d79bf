"""Methods of a user's class of modules that its forward pass needs, as source code."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from raynas.exporting.code import Code, SourceError
from raynas.exporting.layers import torch_base

_ALWAYS = ("forward", "train", "__call__", "__len__", "__iter__", "__getitem__", "__contains__", "__getattr__")
_NEVER = {"__init__", "__init_subclass__", "__new__", "extra_repr", "__repr__", "reset_parameters", "_reset_parameters"}


@dataclass(frozen=True)
class Methods:
    """The methods of a class that the forward pass can reach.

    Args:
        base: the class of torch that it derives from.
        codes: the methods by name, in the order in which they are reached.
        attributes: names of the attributes of the module that they read.
        any_attribute: whether they may read attributes by other names too.
    """

    base: type[nn.Module]
    codes: Mapping[str, Code]
    attributes: frozenset[str]
    any_attribute: bool

    @classmethod
    def of(cls, kind: type[nn.Module]) -> "Methods":
        """Find the methods of a class.

        Raises:
            SourceError: if one cannot be read, or calls a method that it overrides in a class of the user's.
        """
        base = torch_base(kind)
        own = kind.__mro__[: kind.__mro__.index(base)]
        codes: dict[str, Code] = {}
        pending = [name for name in _ALWAYS if _owner(own, name)] + _overridden(own, base)
        while pending:
            name = pending.pop(0)
            owner = _owner(own, name)
            if owner is None or name in codes or not (raw := _method(owner, name)):
                continue
            codes[name] = code = Code.of(raw)
            for called in sorted(code.calls_of_super):
                if any(called in vars(other) for other in own[own.index(owner) + 1 :]):
                    raise SourceError(f"{owner.__name__}.{name} calls {called} of another class by super()")
            pending += sorted(code.own_attributes)
        read = frozenset(name for code in codes.values() for name in code.own_attributes)
        free = any(code.passes_itself for code in codes.values())
        return cls(base, codes, read - codes.keys(), free)


def _owner(own: tuple[type, ...], name: str) -> type | None:
    return next((kind for kind in own if name in vars(kind)), None)


def _overridden(own: tuple[type, ...], base: type) -> list[str]:
    """Return the methods that a subclass of a layer overrides, which the layer may call."""
    names = [] if base is nn.Module else [n for kind in own for n in vars(kind) if hasattr(base, n)]
    return [name for name in names if name not in _NEVER and not (name.startswith("__") and name not in _ALWAYS)]


def _method(owner: type, name: str) -> Any:
    raw = vars(owner)[name]
    raw = raw.fget if isinstance(raw, property) else raw
    raw = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
    return raw if inspect.isfunction(raw) else None
