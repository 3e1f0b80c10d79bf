"""Deployment: a network in the form that a back end runs, so that another machine needs nothing else."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.export import ExportedProgram

from raynas.core.inputs import Arguments
from raynas.nn.modes import modes_kept
from raynas.nn.programs import make_program, write_onnx, write_program

Form = Literal["module", "program", "onnx", "pte"]
"""Forms of a network: an ``nn.Module``, a program of ``torch.export``, an ONNX file, a program of ExecuTorch."""

SUFFIXES = {"program": ".pt2", "onnx": ".onnx", "pte": ".pte"}
"""Endings of the files of those forms that are files."""


@dataclass(frozen=True)
class Deployment:
    """A network in the form that a back end runs, for the batch of its inputs alone.

    Args:
        form: its form.
        content: the module, or the content of the file.
        inputs: an example batch.
    """

    form: Form
    content: nn.Module | bytes
    inputs: Arguments

    @property
    def module(self) -> nn.Module:
        """The network, of a deployment that is a module."""
        assert isinstance(self.content, nn.Module)
        return self.content

    @property
    def file(self) -> bytes:
        """The content of the file, of a deployment that is one."""
        assert isinstance(self.content, bytes)
        return self.content


def deploy(
    model: nn.Module,
    inputs: Arguments,
    form: Form,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Deployment:
    """Return a network, in eval mode, in a form.

    Args:
        model: the network, which is left as it was.
        inputs: an example batch.
        form: the form.
        device: device of a module; files are made for any.
        dtype: type of weights and real inputs.

    Raises:
        RaynasError: if a package is missing, or the network cannot be exported.
    """
    target = device if form == "module" else torch.device("cpu")
    inputs = inputs.to(target).map_real(lambda tensor: tensor.to(dtype))
    if any(_differs(tensor, target, dtype) for tensor in chain(model.parameters(), model.buffers())):
        model = copy.deepcopy(model).to(target, dtype)
    if form == "module":
        return Deployment(form, model, inputs)
    with modes_kept(model):
        program = make_program(model.eval(), inputs, any_batch=False)
    return Deployment(form, _CONTENT[form](program), inputs)


def _differs(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    return tensor.device.type != device.type or (tensor.is_floating_point() and tensor.dtype != dtype)


def _written(write: Callable[[ExportedProgram, Path], None]) -> Callable[[ExportedProgram], bytes]:
    """Return a function that gives the content of the file that ``write`` writes."""

    def content(program: ExportedProgram) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            write(program, path)
            return path.read_bytes()

    return content


def _executorch_program(program: ExportedProgram) -> bytes:
    from raynas.metrics.latency.backends.executorch import lowered

    return lowered(program)


_CONTENT: dict[str, Callable[[ExportedProgram], bytes]] = {
    "program": _written(write_program),
    "onnx": _written(write_onnx),
    "pte": _executorch_program,
}
