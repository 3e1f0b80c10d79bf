"""Forms of a network that run without its code: a program of ``torch.export`` and an ONNX file."""

import dataclasses
import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.files.replacing import Replacing

OPSET = 20
"""Version of the ONNX operators."""

WRAPPED = "network"
"""Path of a network in the program of one whose outputs had to be put into plain containers."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages that ONNX files are written and checked with: the extra "export"."""


def make_program(model: nn.Module, inputs: Arguments, *, any_batch: bool = True) -> ExportedProgram:
    """Export a network in eval mode.

    Args:
        model: in eval mode.
        inputs: an example batch, at least two examples for ``any_batch``.
        any_batch: True for any size of the batch, False for that of the inputs.

    Raises:
        RaynasError: if torch cannot export it; gives the reason in one line.
    """
    shapes, batch = ShapesCollection(), Dim("batch")
    for tensor in inputs.tensors:
        if any_batch and tensor.ndim and len(tensor) == inputs.n_examples:
            shapes[tensor] = {0: batch}
    kwargs = dict(inputs.kwargs)
    try:
        with quiet():
            model = model if _is_plain(inputs.call(model)) else _with_plain_outputs(model)
            dynamic = shapes.dynamic_shapes(model, inputs.args, kwargs)
            return torch.export.export(model, inputs.args, kwargs, dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        raise RaynasError(f"torch.export cannot export it: {reason_of(error)}") from None


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a program of ``torch.export``.

    Raises:
        OSError: if the file cannot be written.
    """
    content = io.BytesIO()
    with quiet():
        torch.export.save(program, content)
    with Replacing(path) as draft:
        draft.write_bytes(content.getvalue())


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write an exported program as ONNX.

    Raises:
        RaynasError: if a package is missing or an operation has no form in ONNX.
        OSError: if the file cannot be written.
    """
    require_packages(PACKAGES, "export")
    try:
        with quiet(), Replacing(path) as draft:
            written = torch.onnx.export(program, (), dynamo=True, opset_version=OPSET, verbose=False)
            assert written is not None
            written.save(draft, external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise RaynasError(f"torch.onnx cannot export it: {reason_of(error)}") from None


def require_packages(packages: Iterable[str], extra: str) -> None:
    """Check that packages are installed.

    Raises:
        RaynasError: if one is missing; says how to install it.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise RaynasError(f"it needs {', '.join(missing)}: pip install 'raynas[{extra}]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep remarks of exporters and compilers from the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def reason_of(error: BaseException) -> str:
    """Return the first sentence of an error: those of torch's exporters are pages long."""
    while type(error).__module__.startswith("torch.onnx") and error.__cause__ is not None:
        error = error.__cause__
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text.partition('. ')[0]}"[:250]


def _with_plain_outputs(network: nn.Module) -> nn.Module:
    """Return a network whose outputs are lists, tuples and dicts, which a file can name without the user's classes."""

    class PlainOutputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return plain(self.network(*args, **kwargs))

    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    signature = inspect.Signature([*own, *inspect.signature(network.forward).parameters.values()])
    PlainOutputs.forward.__signature__ = signature  # type: ignore[attr-defined]  # its inputs keep their names
    return PlainOutputs()


def plain(value: Any) -> Any:
    """Return an output with plain containers in place of dataclasses, named tuples and mappings of other classes.

    The entries of mappings are in the order of names, as ``raynas.core.inputs.leaves`` yields them.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: plain(item) for name, item in named.items() if item is not None}
    if isinstance(value, Mapping):
        return {name: plain(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value] if isinstance(value, list) else tuple(map(plain, value))
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return type(value) is dict and list(value) == sorted(value, key=str) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_is_plain, value))
    return not dataclasses.is_dataclass(value)
