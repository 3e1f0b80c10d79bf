"""Source code of functions and classes: their text, and the global names that it uses."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

from raynas.errors import RaynasError, one_line

_REMARKS = re.compile(r"[ \t]*#\s*(?:type: ignore|noqa|pragma|pylint|mypy|fmt)\b.*$", re.MULTILINE)


class SourceError(RaynasError):
    """A part of a network cannot be written as source code."""


@dataclass(frozen=True)
class Code:
    """The definition of a function or class.

    Args:
        text: the text, without indentation and remarks for tools.
        scope: the values of the names outside of it.
    """

    text: str
    scope: Mapping[str, Any]

    @classmethod
    def of(cls, definition: Callable[..., Any] | type) -> "Code":
        """Read a definition.

        Raises:
            SourceError: if its text is not in a file, or it is no ``def`` or ``class``.
        """
        try:
            text = textwrap.dedent(inspect.getsource(definition))
            code = cls(_REMARKS.sub("", text).rstrip(), _scope(definition))
            _ = code.node
        except (OSError, TypeError, SyntaxError, StopIteration, AttributeError) as error:
            name = getattr(definition, "__qualname__", repr(definition))
            raise SourceError(f"the source of {name} cannot be read: {one_line(error)}") from None
        return code

    @cached_property
    def node(self) -> ast.FunctionDef | ast.ClassDef:
        """The syntax tree."""
        (found,) = (n for n in ast.parse(self.text).body if isinstance(n, ast.FunctionDef | ast.ClassDef))
        return found

    @cached_property
    def first_argument(self) -> str:
        """Name of the first argument of a method; empty if there is none."""
        arguments = self.node.args if isinstance(self.node, ast.FunctionDef) else None
        first = [*arguments.posonlyargs, *arguments.args][:1] if arguments else []
        return first[0].arg if first else ""

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Names of the attributes that it reads or sets, of any object."""
        return frozenset(n.attr for n in ast.walk(self.node) if isinstance(n, ast.Attribute))

    @cached_property
    def own_attributes(self) -> frozenset[str]:
        """Names of the attributes of the first argument."""
        return frozenset(
            n.attr
            for n in ast.walk(self.node)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == self.first_argument
        )

    @cached_property
    def passes_itself(self) -> bool:
        """True if the first argument is used as a whole, so that any of its attributes may be read."""
        held = {id(n.value) for n in ast.walk(self.node) if isinstance(n, ast.Attribute)}
        names = (n for n in ast.walk(self.node) if isinstance(n, ast.Name) and n.id == self.first_argument)
        return any(id(n) not in held for n in names)

    @cached_property
    def calls_of_super(self) -> frozenset[str]:
        """Names of the methods that are called of ``super()``."""
        return frozenset(
            n.attr
            for n in ast.walk(self.node)
            if isinstance(n, ast.Attribute)
            and isinstance(n.value, ast.Call)
            and isinstance(n.value.func, ast.Name)
            and n.value.func.id == "super"
        )

    def written(self, define: Callable[[str, Any], str]) -> str:
        """Return the text, with the names outside of it as they are called in another file.

        Args:
            define: makes a value available there; takes the name that the text uses and returns the one to use.

        Raises:
            SourceError: if a value cannot be made available.
        """
        names = {name: define(name, self.scope[name]) for name in sorted(self._free(self._body_parts))}
        dropped = set()
        for name in sorted(self._free(self._hints)):
            try:
                names[name] = names.get(name) or define(name, self.scope[name])
            except SourceError:
                dropped.add(name)
        if not dropped and all(name == new for name, new in names.items()):
            return self.text
        return ast.unparse(_Rewriting(names, dropped).visit(ast.parse(self.text)))

    @property
    def _hints(self) -> list[ast.AST]:
        """The annotations of arguments and results, which a network runs without."""
        found: list[ast.AST] = []
        for n in ast.walk(self.node):
            if isinstance(n, ast.arg) and n.annotation:
                found.append(n.annotation)
            elif isinstance(n, ast.FunctionDef) and n.returns:
                found.append(n.returns)
            elif isinstance(n, ast.AnnAssign) and isinstance(self.node, ast.FunctionDef):
                found.append(n.annotation)
        return found

    @property
    def _body_parts(self) -> list[ast.AST]:
        hints = {id(n) for hint in self._hints for n in ast.walk(hint)}
        return [n for n in ast.walk(self.node) if id(n) not in hints]

    def _free(self, parts: list[ast.AST]) -> set[str]:
        nodes = [n for part in parts for n in ([part] if part in self._all else ast.walk(part))]
        inside = {n.id for n in self._all if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        inside |= {n.arg for n in self._all if isinstance(n, ast.arg)}
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        return {name for name in read - inside if name in self.scope}

    @cached_property
    def _all(self) -> list[ast.AST]:
        return list(ast.walk(self.node))


def _scope(definition: Callable[..., Any] | type) -> Mapping[str, Any]:
    function = inspect.unwrap(definition) if callable(definition) else definition
    if isinstance(function, FunctionType):
        captured = {
            name: cell.cell_contents
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
            if name != "__class__" and _is_filled(cell)
        }
        return {**function.__globals__, **captured}
    module = inspect.getmodule(definition)
    return vars(module) if module else {}


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


class _Rewriting(ast.NodeTransformer):
    """Renames global names, and leaves out annotations that hold a name that does not exist in the other file."""

    def __init__(self, names: Mapping[str, str], dropped: set[str]) -> None:
        self._names, self._dropped = names, dropped

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Rename a name."""
        return ast.copy_location(ast.Name(self._names.get(node.id, node.id), node.ctx), node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Leave out an annotation of an argument."""
        node.annotation = self._kept(node.annotation)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Leave out the annotation of the result."""
        node.returns = self._kept(node.returns)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Leave out the annotation of a variable."""
        if self._kept(node.annotation) is None and node.value is not None:
            return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))
        return self.generic_visit(node)

    def _kept(self, hint: ast.expr | None) -> ast.expr | None:
        names = {n.id for n in _names_in(hint)} if hint else set()
        return None if names & self._dropped else hint


def _names_in(node: ast.AST) -> Iterator[ast.Name]:
    yield from (n for n in ast.walk(node) if isinstance(n, ast.Name))
