"""Definitions and assignments in the source of a module, as text that does not depend on comments and layout."""

import ast
import copy
import functools
import linecache
import types
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

Node = TypeVar("Node", bound=ast.AST)

Names = frozenset[str]
"""Names that code refers to, with the attributes it takes: "np", "np.random", "np.random.rand"."""


def text_of(node: ast.AST) -> str:
    """Return a tree as text, without positions and docstrings."""
    node = copy.deepcopy(node)
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(inner, _SCOPES) and isinstance(body, list) and _is_text(body[0]):
            inner.body = body[1:] or [ast.Pass()]
    return ast.dump(node)


def names_in(node: ast.AST) -> Names:
    """Return the names in a tree, those of local variables too."""
    return frozenset(name for inner in ast.walk(node) if (name := _dotted(inner)))


def class_level_names(node: ast.ClassDef) -> Names:
    """Return the names that a class refers to outside of its methods."""
    outside = [*node.bases, *node.decorator_list, *(n for n in node.body if not isinstance(n, _FUNCTIONS))]
    return frozenset().union(*map(names_in, outside))


def tree_of(file: str, variables: dict[str, Any] | None = None) -> ast.Module:
    """Parse a file as it was when it was first read; the cells of a notebook are no files, but have lines.

    Raises:
        SyntaxError: if it is no Python.
    """
    return _parsed(file, variables).tree


def definition_of(code: types.CodeType, variables: dict[str, Any]) -> ast.AST | None:
    """Return the definition of a function; None if its source is missing, or if it shares its line with another."""
    module = _parsed(code.co_filename, variables)
    defined = module.lambdas if code.co_name == "<lambda>" else module.functions
    return _only(defined.get(code.co_firstlineno, []))


def class_definition(file: str, qualname: str) -> ast.ClassDef | None:
    """Return the definition of a class; None if its source is missing, or if there are two of its name."""
    return _only(_parsed(file).classes.get(qualname.rpartition(".")[2], []))


def assignments_of(file: str, name: str) -> list[ast.stmt]:
    """Return the statements of a module, outside of functions and classes, that assign a name."""
    return _parsed(file).assignments.get(name, [])


def imports_in(node: ast.AST) -> Iterator[str]:
    """Yield the modules that are imported somewhere in a tree, as ``importlib.util.resolve_name`` takes them."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            yield "." * inner.level + (inner.module or "")


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class _Module:
    """A parsed module and what it defines, found in one walk: a walk for each of 400 functions took 7 s.

    Args:
        source: its text.

    Raises:
        SyntaxError: if it is no Python.
    """

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.functions: dict[int, list[ast.AST]] = defaultdict(list)  # by first line
        self.lambdas: dict[int, list[ast.AST]] = defaultdict(list)
        self.classes: dict[str, list[ast.ClassDef]] = defaultdict(list)
        self.assignments: dict[str, list[ast.stmt]] = defaultdict(list)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                self.classes[node.name].append(node)
            elif isinstance(node, _FUNCTIONS):
                defined = self.lambdas if isinstance(node, ast.Lambda) else self.functions
                defined[_first_line(node)].append(node)
        for statement in _statements(self.tree.body):
            for name in _targets(statement):
                self.assignments[name].append(statement)


def _parsed(file: str, variables: dict[str, Any] | None = None) -> _Module:
    return _module("".join(linecache.getlines(file, variables)))


_module = functools.lru_cache(maxsize=64)(_Module)


def _only(found: Sequence[Node]) -> Node | None:
    return found[0] if len(found) == 1 else None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _dotted(node: ast.AST) -> str:
    """Return "a.b.c" for a name or for attributes of one, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    base = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{base}.{node.attr}" if base and isinstance(node, ast.Attribute) else ""


def _first_line(node: Any) -> int:
    return min(int(part.lineno) for part in [node, *getattr(node, "decorator_list", ())])


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if not isinstance(node, _SCOPES):
            yield node
            for part in ("body", "orelse", "finalbody", "handlers"):
                yield from _statements(getattr(node, part, []))


def _targets(node: Any) -> set[str]:
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return set()
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}
