"""Factories of modules that users write as lambdas: checks, and copies that keep the values of captured variables."""

from collections.abc import Callable, Mapping
from functools import partial
from types import CellType, FunctionType
from typing import TypeVar

from torch import nn

from raynas.errors import SpaceError

_T = TypeVar("_T")

ModuleFactory = Callable[[], nn.Module]
"""Makes a new module at each call."""


def numbered_factories(factory: Callable[[int], nn.Module], n: int, subject: str) -> dict[str, ModuleFactory]:
    """Return the factories "0" to "n - 1" that one function of a number makes.

    Raises:
        SpaceError: if ``factory`` is a module, or cannot be called; names the ``subject``.
    """
    check_factory(factory, subject, "lambda i: ")
    make = bound(factory)
    return {str(i): partial(make, i) for i in range(n)}


def check_factory(factory: object, subject: str, arguments: str = "lambda: ") -> None:
    """Refuse a module in place of a factory, and anything that cannot be called.

    Raises:
        SpaceError: if it is no factory.
    """
    if isinstance(factory, nn.Module):
        kind = type(factory).__name__
        raise SpaceError(f"{subject} is a module; give a factory that makes a new one: {arguments}nn.{kind}(...)")
    if not callable(factory):
        raise SpaceError(f"{subject} must be a factory such as {arguments}nn.Conv2d(...), got {factory!r}")


def check_different(candidates: Mapping[str, ModuleFactory]) -> None:
    """Refuse lambdas made in one loop that do not bind its variable: all of them would make the last module.

    Raises:
        SpaceError: if two candidates are the same lambda.
    """
    seen: dict[object, str] = {}
    for name, factory in candidates.items():
        if isinstance(factory, FunctionType):
            values = (factory.__closure__ or (), factory.__defaults__ or (), (factory.__kwdefaults__ or {}).values())
            twin = seen.setdefault((factory.__code__, *(tuple(map(id, group)) for group in values)), name)
            if twin != name:
                raise SpaceError(
                    f"options {twin!r} and {name!r} of a Choice make the same module; in a loop bind the variable: "
                    "lambda k=k: nn.Conv2d(16, 16, k)"
                )


def bound(factory: Callable[..., _T]) -> Callable[..., _T]:
    """Return a copy of a local function that keeps the present values of the variables it captured.

    Factories run long after the constructor that wrote them has changed its variables, e.g. by ``channels *= 2``.
    """
    if not isinstance(factory, FunctionType) or not factory.__closure__:
        return factory
    closure = tuple(map(_frozen, factory.__closure__))
    copied = FunctionType(factory.__code__, factory.__globals__, factory.__name__, factory.__defaults__, closure)
    copied.__kwdefaults__ = factory.__kwdefaults__
    return copied


def _frozen(cell: CellType) -> CellType:
    try:
        return CellType(cell.cell_contents)
    except ValueError:  # Still empty, e.g. in a function that refers to itself: it has to be read later.
        return cell
