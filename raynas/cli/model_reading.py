"""A model of the user's, its inputs, and what of it may vary, as the command line names them."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from raynas.converting import Depth, Kernel, Resolution, Width
from raynas.converting.options import Range
from raynas.core.inputs import Inputs, InputSpec, TensorSpec, make_example
from raynas.errors import RaynasError, did_you_mean, one_line
from raynas.user_code import load_function, load_object

TYPES: Mapping[str, torch.dtype] = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "long": torch.long,
    "int": torch.int32,
    "bool": torch.bool,
}
"""Types of inputs, by the names that torch has for them."""

_INPUT = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:x\d+)*)(?::(?P<type>\w+))?(?::(?P<high>\d+))?")
_VARY = re.compile(r"(?P<glob>[^=]+)=(?P<kind>width|depth|kernel|resolution):(?P<values>[^=]+)")

_COUNTED: Mapping[str, type[Depth | Kernel | Resolution]] = {"depth": Depth, "kernel": Kernel, "resolution": Resolution}


def read_model(reference: str) -> nn.Module:
    """Return the model that ``module:name`` refers to: a module, or what a class or function gives without arguments.

    Raises:
        RaynasError: if it cannot be imported or made, or is no model.
    """
    found = load_object(reference)
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:
            raise RaynasError(f"{reference}() gives no model: {one_line(error)}") from error
    if not isinstance(found, nn.Module):
        raise RaynasError(f"{reference!r} is a {type(found).__name__}: name an nn.Module, or what makes one")
    return found


def read_inputs(texts: Sequence[str]) -> tuple[Inputs, InputSpec]:
    """Return a batch of two examples of what a model takes, and the description of it.

    Args:
        texts: ``[NAME=]SHAPE[:TYPE[:HIGH]]`` each, or a single ``module:function`` that returns a batch.

    Raises:
        RaynasError: if a text is neither, or some have names and others have none.
    """
    if len(texts) == 1 and ":" in texts[0] and not _INPUT.fullmatch(texts[0]) and not texts[0][0].isdigit():
        example = _returned(texts[0])
        return example, example
    specs = [_spec(text) for text in texts]
    names = [name for name, _ in specs if name]
    if names and (len(names) < len(specs) or len(set(names)) < len(names)):
        raise RaynasError(f"--input {' '.join(texts)}: give every input a different name, or none")
    plain = [spec for _, spec in specs]
    description: InputSpec = (
        dict(zip(names, plain, strict=True)) if names else (plain[0] if len(plain) == 1 else tuple(plain))
    )
    return make_example(description, 2, "cpu"), description


def _returned(reference: str) -> Inputs:
    try:
        return load_function(reference)()  # type: ignore[no-any-return]  # the run of the model says what is wrong
    except RaynasError:
        raise
    except Exception as error:
        raise RaynasError(f"{reference}() gives no example: {one_line(error)}") from error


def _spec(text: str) -> tuple[str | None, TensorSpec]:
    match = _INPUT.fullmatch(text)
    if match is None:
        raise RaynasError(
            f"cannot read input {text!r}: write SHAPE[:TYPE[:HIGH]], e.g. 3x224x224 or ids=128:long:30000, or "
            "package.module:function"
        )
    kind = match["type"] or "float"
    if kind not in TYPES:
        raise RaynasError(f"input {text!r} has no type of torch{did_you_mean(kind, TYPES) or ': ' + ', '.join(TYPES)}")
    shape = tuple(map(int, match["shape"].split("x")))
    return match["name"], TensorSpec(shape, TYPES[kind], high=int(match["high"]) if match["high"] else None)


def read_vary(texts: Sequence[str]) -> Mapping[str, Range] | None:
    """Return what may vary, by glob; None if nothing is said.

    Args:
        texts: ``GLOB=width:SHARE,...`` each, or depth, kernel or resolution with numbers.

    Raises:
        RaynasError: if one cannot be read.
    """
    return dict(map(_range, texts)) or None


def _range(text: str) -> tuple[str, Range]:
    match = _VARY.fullmatch(text)
    try:
        if match is not None and match["kind"] == "width":
            return match["glob"], Width(*map(float, match["values"].split(",")))
        if match is not None:
            return match["glob"], _COUNTED[match["kind"]](*map(int, match["values"].split(",")))
    except ValueError as error:
        if isinstance(error, RaynasError):
            raise
    raise RaynasError(
        f"cannot read {text!r}: write 'GLOB=width:0.5,0.75', 'GLOB=depth:6,12', 'GLOB=kernel:3,5' or "
        "'input=resolution:160,192'"
    )
