"""Back ends of torch itself: eager, compiled by ``torch.compile``, compiled ahead of time by AOTInductor."""

import io
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

from raynas.errors import RaynasError
from raynas.metrics.latency.backends.backend import Backend, Run
from raynas.metrics.latency.deployment import Deployment, Form
from raynas.metrics.latency.settings import LatencySettings


class Eager(Backend):
    """PyTorch as it is: one operation after another."""

    name = "eager"
    form: ClassVar[Form] = "module"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda", "mps", "xpu")

    @property
    def version(self) -> str:
        """Version of torch."""
        return str(torch.__version__)

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Return a call of the network."""
        return partial(deployment.inputs.call, deployment.module)


class Compiled(Eager):
    """``torch.compile`` of the network; compiling takes from seconds to minutes."""

    name = "compile"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def check_installation(self) -> None:
        """Check that there is a C++ compiler."""
        require_compiler()

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Compile the network."""
        # Beyond 8 networks with the code of one class torch would run the others uncompiled, without a word.
        torch._dynamo.reset()
        compiled = torch.compile(deployment.module)
        with torch.inference_mode():
            deployment.inputs.call(compiled)
        return partial(deployment.inputs.call, compiled)


class AotInductor(Eager):
    """A program of ``torch.export``, compiled ahead of time to a shared library; takes from seconds to minutes."""

    name = "export"
    form = "program"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def check_installation(self) -> None:
        """Check that there is a C++ compiler."""
        require_compiler()

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Compile the program, and load it."""
        program = torch.export.load(io.BytesIO(deployment.file))
        if settings.device != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, settings.device)
        with tempfile.TemporaryDirectory() as folder:
            path = torch._inductor.aoti_compile_and_package(program, package_path=str(Path(folder) / "model.pt2"))
            compiled = torch._inductor.aoti_load_package(path)
        return partial(deployment.inputs.to(settings.device).call, compiled)


def require_compiler() -> None:
    """Check that there is a C++ compiler.

    Raises:
        RaynasError: if there is none.
    """
    names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++", "cl"]
    if not any(map(shutil.which, names)):
        raise RaynasError("it needs a C++ compiler: install g++, or name one in the environment variable CXX")
