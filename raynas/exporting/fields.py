"""Fields of a module: what its constructor has to be given, as source code."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from raynas.exporting.code import SourceError
from raynas.exporting.definitions import Definitions
from raynas.exporting.layers import names_made_by_torch
from raynas.exporting.layout import Expression
from raynas.exporting.methods import Methods

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

_INTERNAL = {"training", "call_super_init", "dump_patches", "T_destination"}


class Kind(Enum):
    """Kinds of fields."""

    MODULE = "module"
    PARAMETER = "parameter"
    BUFFER = "buffer"
    VALUE = "value"


@dataclass(frozen=True)
class Field:
    """A field of a module.

    Args:
        kind: its kind.
        value: its value.
    """

    kind: Kind
    value: Any


def fields_of(module: nn.Module, methods: Methods, read: frozenset[str]) -> dict[str, Field]:
    """Return the fields of a module, by name: all that holds weights or modules, and the attributes that are read.

    What the class of torch that it derives from makes by itself is no field.

    Args:
        module: the module.
        methods: methods of its class.
        read: the attributes that any method of the network reads.

    Raises:
        SourceError: if the arguments of the class of torch cannot be read from the module.
    """
    fields = {name: Field(Kind.MODULE, value) for name, value in module._modules.items()}
    fields |= {name: Field(Kind.PARAMETER, value) for name, value in module._parameters.items()}
    fields |= {name: Field(Kind.BUFFER, value) for name, value in module._buffers.items()}
    fields |= {name: Field(_kind(value), value) for name, value in _values(module, methods, read)}
    made: Collection[str] = ()
    if methods.base in CONTAINERS:
        made = module._modules.keys()
    elif methods.base is not nn.Module:
        made = names_made_by_torch(module)
    return {name: each for name, each in fields.items() if name not in made}


def _kind(value: object) -> Kind:
    return Kind.BUFFER if isinstance(value, Tensor) else Kind.VALUE


def _values(module: nn.Module, methods: Methods, read: frozenset[str]) -> Iterator[tuple[str, Any]]:
    known = vars(methods.base)
    wanted = methods.attributes | read
    for name, value in vars(module).items():
        if not name.startswith("__") and name not in _STATE and (name in wanted or methods.any_attribute):
            yield name, value
    own = type(module).__mro__[: type(module).__mro__.index(methods.base)]
    for name in sorted(methods.attributes - vars(module).keys()):
        held = next((vars(kind)[name] for kind in own if name in vars(kind)), None)
        plain = held is not None and not isinstance(held, FunctionType | property | staticmethod | classmethod)
        if plain and name not in known:
            yield name, getattr(module, name)


_STATE = frozenset(vars(nn.Module())) | _INTERNAL


def value_text(name: str, value: Any, is_needed: bool, definitions: Definitions, owner: str) -> str | None:
    """Return the value of an attribute as source code; None if it cannot be written and need not be.

    Raises:
        SourceError: if it is needed and cannot be written.
    """
    try:
        return definitions.expression(value, f"attribute {name} of {owner}")
    except SourceError:
        if is_needed:
            raise
        return None


def tensor_expression(value: Tensor | None, is_parameter: bool, definitions: Definitions) -> Expression:
    """Return a tensor of zeros of the same shape, to which weights are loaded; a parameter is one again."""
    if value is None:
        return Expression("None")
    definitions.define("torch", torch)
    shape = ", ".join(map(str, value.shape)) if value.ndim else "()"
    dtype = f", dtype={value.dtype}" if value.dtype != torch.float32 else ""
    zeros = f"torch.zeros({shape}{dtype})"
    if not is_parameter:
        return Expression(zeros)
    frozen = "" if value.is_floating_point() else ", requires_grad=False"
    return Expression(f"{definitions.define('nn', nn)}.Parameter({zeros}{frozen})")
