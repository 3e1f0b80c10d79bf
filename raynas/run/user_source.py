"""parts_of(): the code of the user's that a search depends on, as fingerprints of its parts.

A part is a function, a class, or a value that code of the same package reads; a change is named by its part. Installed
packages, comments and docstrings do not count.
"""

import ast
import functools
import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from torch import nn

from raynas.run.data_fingerprint import fingerprint_of
from raynas.run.source_tree import (
    Names,
    assignments_of,
    class_definition,
    class_level_names,
    definition_of,
    imports_in,
    names_in,
    text_of,
    tree_of,
)

_VARYING = frozenset(
    (
        *("time", "time_ns", "perf_counter", "monotonic", "now", "today", "strftime"),
        *("uuid1", "uuid4", "getpid", "urandom", "token_hex"),
        *("mkdtemp", "mkstemp", "gettempdir", "TemporaryDirectory"),
    )
)
"""Functions that give another value in every run, which is no change."""

_INSTALLED = frozenset(("site-packages", "dist-packages"))
_STANDARD = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")})
_CODE = (types.FunctionType, types.MethodType, type, functools.partial)


def parts_of(*values: object) -> dict[str, str]:
    """Return the fingerprints of what functions, classes and objects consist of, by the name of each part.

    A part that cannot be read is left out: no search may fail because of it.
    """
    reader = _Reader()
    for value in values:
        reader.begin(value)
    return reader.parts


def name_of(value: object) -> str:
    """Return the file and the name of a function or class: "my_script.train"."""
    code = _code_of(value)
    name = code.__qualname__.rpartition(".")[2].strip("<>")
    file = _file_of(str(code.__module__))
    return f"{file.stem}.{name}" if file else name


class _Reader:
    """Walks from a function to what it calls and reads."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self._seen: dict[int, object] = {}
        self._roots: set[Path] = set()

    def begin(self, value: object) -> None:
        """Read a value, whose package is the user's unless it is an installed one."""
        module = str(_code_of(value).__module__)
        file = _file_of(module)
        if file and not _is_installed(file, module):
            self._roots.add(file.parents[max(module.count(".") - (file.name != "__init__.py"), 0)])
        self._read(value)

    def _read(self, value: object, title: str = "") -> None:
        """Note a value under a title, or code under its own."""
        try:
            self._note_value(value, title)
        except Exception:  # whatever a user's objects do when they are looked at
            return

    def _note_value(self, value: Any, title: str) -> None:
        if isinstance(value, functools.partial):
            self._read(value.func)
            named = {**{str(n): v for n, v in enumerate(value.args)}, **value.keywords}
            self._read_all({f"argument {name} of {name_of(value)}": v for name, v in named.items()})
        elif isinstance(value, types.MethodType):
            self._read(value.__func__)
            self._read(value.__self__)
        elif isinstance(value, types.FunctionType):
            self._note_function(inspect.unwrap(value))
        elif isinstance(value, type):
            self._note_class(value)
        elif title and (text := fingerprint_of(value)) is not None:
            self.parts[f"the value of {title}"] = text
        elif self._is_own(type(value).__module__) and self._is_new(value):
            self._read(type(value))
            whose = title or f"a {type(value).__name__}"
            # The weights of a network may be random.
            parts = {} if isinstance(value, nn.Module) else vars(value)
            self._read_all({f"{name} of {whose}": part for name, part in parts.items()})

    def _read_all(self, values: Mapping[str, object]) -> None:
        for title, value in values.items():
            self._read(value, title)

    def _is_new(self, value: object) -> bool:
        is_new = id(value) not in self._seen
        self._seen[id(value)] = value  # kept, so that its number stays its own
        return is_new

    def _is_own(self, module: str) -> bool:
        file = _file_of(module)
        if file is None:
            return module == "__main__"
        return self._is_own_file(file, module)

    def _is_own_file(self, file: Path, module: str) -> bool:
        return not _is_installed(file, module) and any(file.is_relative_to(root) for root in self._roots)

    # --- functions and classes ---------------------------------------------------------------------------------------

    def _note_function(self, fn: Any) -> None:
        if self._is_own(fn.__module__) and self._is_new(fn):
            node = definition_of(fn.__code__, fn.__globals__)
            text = text_of(node) if node else _code_text(fn.__code__)
            self.parts[f"the source of {_title(fn)}"] = _digest(text)
            self._follow(fn, node)

    def _follow(self, fn: Any, node: ast.AST | None) -> None:
        """Read what a function refers to."""
        self._read_all({f"{name} of {_title(fn)}": value for name, value in _bound(fn).items()})
        self._read_names(_names_of(fn.__code__, names_in(node) if node else None), fn.__globals__)
        self._read_imports(imports_in(node) if node else (), str(fn.__globals__.get("__package__") or ""))

    def _note_class(self, cls: type) -> None:
        if not self._is_own(cls.__module__) or not self._is_new(cls):
            return
        for base in cls.__bases__:
            self._read(base)
        file = _file_of(cls.__module__)
        node = class_definition(str(file), cls.__qualname__) if file else None
        if node:
            self.parts[f"the source of {_title(cls)}"] = _digest(text_of(node))
            self._read_names(class_level_names(node), vars(sys.modules[cls.__module__]))
        for member in vars(cls).values():
            method = inspect.unwrap(getattr(member, "__func__", None) or getattr(member, "fget", None) or member)
            if isinstance(method, types.FunctionType) and node:
                self._follow(method, definition_of(method.__code__, method.__globals__))
            elif isinstance(method, types.FunctionType):
                self._read(method)

    # --- names that code refers to -----------------------------------------------------------------------------------

    def _read_names(self, names: Names, variables: Mapping[str, Any]) -> None:
        """Read the variables of a module that code refers to, and what it takes from modules and objects among them."""
        for name in sorted(name for name in names if "." not in name and name in variables):
            value = variables[name]
            inner = frozenset(n.partition(".")[2] for n in names if n.startswith(f"{name}."))
            if isinstance(value, types.ModuleType):
                if self._is_own(value.__name__):
                    self._read_names(inner, vars(value))
            elif isinstance(value, _CODE):
                self._read(value)
            else:
                self._note_variable(name, value, variables, inner)

    def _note_variable(self, name: str, value: Any, variables: Mapping[str, Any], attributes: Names) -> None:
        """Note a variable of a module, by its assignment and by its value."""
        file = str(variables.get("__file__") or "")
        title = f"{name} in {Path(file).name}" if file else name
        assigned = assignments_of(file, name) if file else []
        if assigned:
            self.parts[f"the assignment of {title}"] = _digest(*map(text_of, assigned))
        if any(word in _VARYING for node in assigned for n in names_in(node) for word in n.split(".")):
            return
        if fingerprint_of(value) is None and not self._is_own(type(value).__module__):
            # Such as the arguments of a command line, of which some say how to train.
            values = getattr(value, "__dict__", {})
            self._read_all({f"{attribute} of {title}": values[attribute] for attribute in attributes & values.keys()})
        else:
            self._read(value, title)

    def _read_imports(self, names: Iterable[str], package: str) -> None:
        """Read the modules that a function imports, which may not be loaded yet, as files."""
        for name in names:
            name = resolve_name(name, package) if name.startswith(".") else name
            spec = None if name.partition(".")[0] in sys.stdlib_module_names else find_spec(name)
            if spec and spec.has_location:
                file = Path(str(spec.origin)).resolve()
                if self._is_own_file(file, name):
                    self.parts[f"the source of {file.name}"] = _digest(text_of(tree_of(str(file))))


def _code_of(value: Any) -> Any:
    """Return the function behind a partial one or a method, and the class of an object that is neither."""
    while isinstance(value, functools.partial | types.MethodType):
        value = value.func if isinstance(value, functools.partial) else value.__func__
    return value if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) else type(value)


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).resolve() if file else None


def _is_installed(file: Path, module: str) -> bool:
    return (
        module.partition(".")[0] == "raynas" or not _INSTALLED.isdisjoint(file.parts) or str(file).startswith(_STANDARD)
    )


def _title(code: Any) -> str:
    name = code.__qualname__.replace("<locals>.", "").replace("<lambda>", "the lambda")
    file = _file_of(code.__module__)
    return f"{name} in {file.name}" if file else str(name)


def _bound(fn: Any) -> dict[str, object]:
    """Return the values that a function was made with: of enclosing functions, and its defaults."""
    parameters = inspect.signature(fn).parameters.values()
    found: dict[str, object] = {p.name: p.default for p in parameters if p.default is not p.empty}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and those of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _names_of(code: types.CodeType, written: Names | None) -> Names:
    """Return the global names of a function with the attributes it takes; names of local variables are none."""
    found = frozenset(name for each in _codes(code) for name in each.co_names)
    if written is None:
        return found | {f"{name}.{attribute}" for name in found for attribute in found}
    return frozenset(name for name in written if name.partition(".")[0] in found)


def _code_text(code: types.CodeType) -> str:
    """Return compiled code as text, where there is no source."""
    return "\n".join(
        repr((each.co_code, each.co_names, each.co_varnames, *map(_constant, each.co_consts))) for each in _codes(code)
    )


def _constant(value: object) -> object:
    if isinstance(value, types.CodeType):
        return "code"
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value  # a set's order differs from run to run


def _digest(*texts: str) -> str:
    return "#" + hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
