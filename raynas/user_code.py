"""Functions of the user's, named as ``module:function``."""

import importlib
from collections.abc import Callable
from typing import Any, cast

from raynas.errors import RaynasError, SettingError, did_you_mean, one_line


def split_reference(reference: str) -> tuple[str, str]:
    """Split ``"package.module:function"`` into module and function.

    Raises:
        SettingError: if it is not of that form.
    """
    module, _, function = reference.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise SettingError(f"code of yours is named as package.module:function, got {reference!r}")
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
