"""Functions and objects of the user's, named as ``module:function``."""

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from raynas.errors import RaynasError, SettingError, did_you_mean, one_line

T = TypeVar("T")


def split_reference(reference: str) -> tuple[str, str]:
    """Split ``"package.module:function"`` into module and function.

    Raises:
        SettingError: if it is not of that form.
    """
    module, _, function = reference.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise SettingError(f"code of yours is named as package.module:function, got {reference!r}")
    if module.endswith(".py"):
        raise SettingError(f"code of yours is named without .py, as package.module:function, got {reference!r}")
    return module, function


def load_function(reference: str) -> Callable[..., Any]:
    """Import the function that ``"package.module:function"`` names.

    Raises:
        RaynasError: if the module cannot be imported, or has no such function.
    """
    found = load_object(reference)
    if not callable(found):
        raise RaynasError(f"{reference!r} is a {type(found).__name__}, not a function")
    return found


def load_object(reference: str) -> object:
    """Import the object that ``"package.module:name"`` names.

    Raises:
        RaynasError: if the module cannot be imported, or has nothing of that name.
    """
    module, name = split_reference(reference)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise RaynasError(
            f"cannot import {reference!r}: {error}; start from the folder that holds it, or put that on PYTHONPATH "
            "(on every node of a cluster)"
        ) from None
    except Exception as error:
        raise RaynasError(f"module {module!r} cannot be imported: {one_line(error)}") from error
    if not hasattr(found, name):
        known = [other for other in dir(found) if not other.startswith("_")]
        raise RaynasError(f"module {module!r} has no function {name!r}{did_you_mean(name, known)}")
    return cast(object, getattr(found, name))


def split_call(text: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Split ``"module:make(3, depth=2)"`` into ``module:make`` and its arguments, which are constants.

    Raises:
        SettingError: if it is not of that form; nothing in it is evaluated.
    """
    reference, bracket, _ = text.partition("(")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    if bracket:
        try:
            call = ast.parse(f"f{text.removeprefix(reference)}", mode="eval").body
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                raise ValueError(text)
            args = [ast.literal_eval(value) for value in call.args]
            kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
            if len(kwargs) < len(call.keywords):  # **options
                raise ValueError(text)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            raise SettingError(
                f"cannot read {text!r}: write package.module:name(value, name=value) with numbers, texts, lists or None"
            ) from None
    split_reference(reference)
    return reference, tuple(args), kwargs


def load_instance(text: str, cls: type[T], what: str, known: Mapping[str, object] | None = None) -> T:
    """Return the object that ``"module:name"`` names, or that the function or class ``"module:name(width=3)"`` makes.

    Args:
        text: names it, or a function or class that makes it; the brackets may be left out.
        cls: class of the object.
        what: the noun for it in messages.
        known: arguments that are given besides, where the function takes arguments of these names.

    Raises:
        RaynasError: if it cannot be imported or made, or is something else.
    """
    reference, args, kwargs = split_call(text)
    found = load_object(reference)
    if not callable(found) or isinstance(found, cls):
        if "(" in text:
            raise RaynasError(f"{reference!r} is a {type(found).__name__} already: leave the brackets out")
        return _checked(found, reference, cls, what)
    try:
        made = found(*args, **{**_taken(found, known or {}, args), **kwargs})
    except Exception as error:
        raise RaynasError(f"{reference}({text.partition('(')[2] or ')'} gives no {what}: {one_line(error)}") from error
    return _checked(made, reference, cls, what)


def _taken(function: Callable[..., Any], known: Mapping[str, object], args: tuple[Any, ...]) -> dict[str, object]:
    """Return those of the known arguments that a function has parameters for, beyond the positional ones."""
    try:
        names = list(inspect.signature(function).parameters)[len(args) :]
    except (TypeError, ValueError):  # one in C, of which nothing is known
        return {}
    return {name: value for name, value in known.items() if name in names}


def _checked(found: object, reference: str, cls: type[T], what: str) -> T:
    if not isinstance(found, cls):
        raise RaynasError(
            f"{reference!r} is a {type(found).__name__}: name a {what} ({cls.__name__}), or what makes one"
        )
    return found
