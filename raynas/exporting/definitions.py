"""Definitions that a written network needs: imports of torch and of the standard library, constants, functions."""

import builtins
import dataclasses
import enum
import importlib
import itertools
import math
import sys
from collections import namedtuple
from collections.abc import Mapping
from functools import partial
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from raynas.exporting.code import Code, SourceError


class Definitions:
    """Imports, constants, functions and classes of one file, by name."""

    def __init__(self) -> None:
        self.imports: dict[str, str] = {}
        self.blocks: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def reserve(self, name: str, value: object) -> str:
        """Return a name for a value that the caller defines; another one if the name is taken."""
        free, i = name, 2
        while free in self._values:
            free, i = f"{name}{i}", i + 1
        self._values[free] = value
        return free

    def define(self, name: str, value: Any) -> str:
        """Make a value available.

        Args:
            name: the name that the code uses.
            value: a module, function, class or constant.

        Returns:
            The name under which it is available: another one if the name is taken.

        Raises:
            SourceError: if it needs more than torch and the standard library, or is no constant.
        """
        if own := _name_of_builtin(value):
            return own
        for known, other in self._values.items():
            if other is value and (known == name or known.startswith(name)):
                return known
        if line := import_line(value, name):
            free = self.reserve(name, value)
            self.imports[free] = line if free == name else str(import_line(value, free))
            return free
        is_definition = isinstance(value, FunctionType) or (
            isinstance(value, type) and not issubclass(value, nn.Module)
        )
        if is_definition and value.__name__ != "<lambda>":
            return self._define_code(value)
        text = self.expression(value, name)
        free = self.reserve(name, value)
        self.blocks[free] = f"{free} = {text}"
        return free

    def _define_code(self, value: Any) -> str:
        if isinstance(value, type) and value.__bases__ == (tuple,) and hasattr(value, "_fields"):
            return self._define_named_tuple(value)
        code, free = Code.of(value), self.reserve(value.__name__, value)
        if free != value.__name__:
            raise SourceError(f"two definitions have the name {value.__name__}")
        try:
            self.blocks[free] = code.written(self.define)
        except SourceError:
            del self._values[free]
            raise
        self.blocks[free] = self.blocks.pop(free)  # after those that it needs
        return free

    def _define_named_tuple(self, kind: Any) -> str:
        """Define a class that ``namedtuple`` or ``NamedTuple`` made: neither is left in its bases."""
        make, free = self.define("namedtuple", namedtuple), self.reserve(kind.__name__, kind)
        names = ", ".join(f'"{name}"' for name in kind._fields)
        usual = [kind._field_defaults[name] for name in kind._fields if name in kind._field_defaults]
        defaults = f", defaults={self.expression(usual, kind.__name__)}" if usual else ""
        self.blocks[free] = f'{free} = {make}("{kind.__name__}", [{names}]{defaults})'
        return free

    def expression(self, value: Any, subject: str) -> str:
        """Return a value as an expression.

        Args:
            value: numbers, texts, containers of them, functions, types, dataclasses.
            subject: its name, for the error.

        Raises:
            SourceError: if it cannot be written.
        """
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if type(value) in (type(None), bool, int, float, complex, str, bytes, range, slice) or value is Ellipsis:
            return _text(value) if isinstance(value, str) else repr(value)
        if isinstance(value, torch.dtype):
            self.define("torch", torch)
            return repr(value)
        if isinstance(value, torch.device):
            self.define("torch", torch)
            return f"torch.device({_text(str(value))})"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value, subject)
        return self._object(value, subject)

    def _container(self, value: Any, subject: str) -> str:
        if isinstance(value, Mapping):
            if not issubclass(type(value), dict):
                raise SourceError(f"{subject} is a {type(value).__name__}")
            pairs = ((self.expression(k, subject), self.expression(v, subject)) for k, v in value.items())
            return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
        items = [self.expression(item, subject) for item in value]
        if hasattr(value, "_fields") and isinstance(value, tuple):
            return f"{self.define(type(value).__name__, type(value))}({', '.join(items)})"
        if isinstance(value, tuple):
            return f"({', '.join(items)}{',' * (len(items) == 1)})"
        if isinstance(value, list):
            return f"[{', '.join(items)}]"
        return f"{type(value).__name__}([{', '.join(sorted(items))}])"

    def _object(self, value: Any, subject: str) -> str:
        kind = type(value)
        if isinstance(value, enum.Enum):
            return f"{self.define(kind.__name__, kind)}.{value.name}"
        if isinstance(value, partial):
            keywords = [f"{name}={self.expression(item, subject)}" for name, item in value.keywords.items()]
            items = [self.expression(item, subject) for item in (value.func, *value.args)]
            return f"{self.define('partial', partial)}({', '.join([*items, *keywords])})"
        fields: Mapping[str, Any] | None = None
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        elif isinstance(value, SimpleNamespace):
            fields = vars(value)
        if fields is not None:
            arguments = [f"{name}={self.expression(item, subject)}" for name, item in fields.items()]
            return f"{self.define(kind.__name__, kind)}({', '.join(arguments)})"
        if own := _name_of_builtin(value):
            return own
        name = getattr(value, "__name__", "")
        is_code = isinstance(value, FunctionType) or (isinstance(value, type) and not issubclass(value, nn.Module))
        if name.isidentifier() and (is_code or import_line(value, name)):  # else define would come back here
            return self.define(name, value)
        raise SourceError(f"{subject} is a {kind.__name__}, which source code cannot hold")


def _name_of_builtin(value: Any) -> str:
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) and vars(builtins).get(name) is value else ""


def import_line(value: Any, name: str) -> str:
    """Return the statement that imports a value of torch or of the standard library as ``name``; else ""."""
    if isinstance(value, ModuleType):
        parent, _, child = value.__name__.rpartition(".")
        if not _is_allowed(value.__name__):
            return ""
        if not parent:
            return f"import {child}" + (f" as {name}" if child != name else "")
        return f"from {parent} import {child}" + (f" as {name}" if child != name else "")
    home = str(getattr(value, "__module__", None) or "")
    names = (str(getattr(value, "__name__", None) or getattr(value, "_name", None)), name)
    modules = ("torch.nn", "torch", "torch.nn.functional", home.lstrip("_"), home, "types")
    for own, module in itertools.product(names, modules):
        is_name = own.isidentifier() and hasattr(value, "__module__")
        if is_name and _is_allowed(module) and getattr(_imported(module), own, None) is value:
            return f"from {module} import {own}" + (f" as {name}" if own != name else "")
    return ""


def _imported(module: str) -> object:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def _is_allowed(module: str) -> bool:
    root = module.partition(".")[0]
    return bool(root) and root not in ("__main__", "builtins") and (root == "torch" or root in sys.stdlib_module_names)


def _text(value: str) -> str:
    double = '"' + repr(value)[1:-1] + '"'
    return repr(value) if '"' in value or "'" in value else double
