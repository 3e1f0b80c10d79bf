"""A model of the user's, its inputs, and what of it may vary, as the command line names them."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raynas.cli.model_options import ModelFlags
from raynas.cli.options import names_code
from raynas.converting import Depth, Kernel, Resolution, Width
from raynas.converting.groups import matches
from raynas.converting.options import Range
from raynas.core.inputs import Inputs, InputSpec, TensorSpec, make_example
from raynas.errors import RaynasError, did_you_mean, one_line
from raynas.files.weights import read_weights
from raynas.user_code import load_function, load_instance

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
_RANGES: Mapping[str, tuple[Callable[..., Range], Callable[[str], float]]] = {
    "width": (Width, float),
    "depth": (Depth, int),
    "kernel": (Kernel, int),
    "resolution": (Resolution, int),
}
_VARY = re.compile(r"(?P<glob>[^=]+)=(?P<kind>\w+):(?P<values>[^=]+)")


def read_model(flags: ModelFlags, known: Mapping[str, object] | None = None) -> nn.Module:
    """Return the model that ``module:name`` refers to, with its weights.

    Args:
        flags: name it, and the file of its weights.
        known: arguments from the data, for functions that take them.

    Raises:
        RaynasError: if it cannot be imported or made, is no model, or the weights do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # The same command continues a search with the same weights.
        model = load_instance(str(flags.name), nn.Module, "model", known)
    if flags.weights is not None:
        path = Path(flags.weights).expanduser()
        _load(model, read_weights(path), flags.untrained, path)
    return model


def _load(model: nn.Module, weights: Mapping[str, Tensor], untrained: Sequence[str], path: Path) -> None:
    """Load weights into a model, but for the layers that stay untrained.

    Raises:
        RaynasError: if others are missing, are too many, or have other shapes; names the first.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    left = {name for name in {*own, *weights} if any(matches(name, pattern) for pattern in untrained)}
    for pattern in untrained:
        if not any(matches(name, pattern) for name in own):
            layers = [path for path, _ in model.named_modules() if path]
            raise RaynasError(f"--untrained {pattern} matches no layer of the model{did_you_mean(pattern, layers)}")
    counters = {
        name for name in own.keys() - weights.keys() if name.endswith("num_batches_tracked")
    }  # new in torch 0.4.1
    for name in [name for name in (*own, *weights) if name not in {*left, *counters}]:
        here, there = (tuple(found[name].shape) if name in found else None for found in (own, weights))
        if here != there:
            remedy = f"; if it is to stay untrained, say --untrained {name.rpartition('.')[0] or name}" if here else ""
            raise RaynasError(
                f"{path} holds the weights of another model: {name} {_shape(there)} in it, and {_shape(here)} in the "
                f"model{remedy}"
            )
    model.load_state_dict({name: weight for name, weight in weights.items() if name not in left}, strict=False)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "is missing" if shape is None else f"has shape {shape}"


def read_inputs(texts: Sequence[str]) -> tuple[Inputs, InputSpec]:
    """Return a batch of two examples of what a model takes, and the description of it.

    Args:
        texts: ``[NAME=]SHAPE[:TYPE[:HIGH]]`` each, or a single ``module:function`` that returns a batch.

    Raises:
        RaynasError: if a text is neither, or some have names and others have none.
    """
    if len(texts) == 1 and names_code(texts[0]):
        example: Inputs = called(texts[0], "example")
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


def called(reference: str, what: str) -> Any:
    """Return what the function ``module:function`` returns.

    Args:
        reference: names the function.
        what: the noun for its value in messages.

    Raises:
        RaynasError: if there is no such function, or it fails.
    """
    function = load_function(reference)
    try:
        return function()
    except Exception as error:
        raise RaynasError(f"{reference}() gives no {what}: {one_line(error)}") from error


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
        if match is not None and match["kind"] in _RANGES:
            make, number = _RANGES[match["kind"]]
            return match["glob"], make(*map(number, match["values"].split(",")))
    except ValueError as error:
        if isinstance(error, RaynasError):
            raise
    raise RaynasError(
        f"cannot read {text!r}: write 'GLOB=width:0.5,0.75', 'GLOB=depth:6,12', 'GLOB=kernel:3,5' or "
        "'input=resolution:160,192'"
    )
