"""Back ends of torch itself: eager, compiled by ``torch.compile``, compiled ahead of time by AOTInductor."""

import io
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

from raynas.errors import RaynasError, one_line
from raynas.metrics.latency.backends.backend import Backend, Run
from raynas.metrics.latency.deployment import Deployment, Form
from raynas.metrics.latency.settings import LatencySettings

N_BEFORE_RECORDING = 3
"""Number of runs before a graph is recorded, as torch's documentation has it."""


class Eager(Backend):
    """PyTorch as it is: one operation after another."""

    name = "eager"
    form: ClassVar[Form] = "module"
    runs_in_torch = True
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda", "mps", "xpu")

    @property
    def version(self) -> str:
        """Version of torch."""
        return str(torch.__version__)

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Return a call of the network."""
        return partial(deployment.inputs.call, deployment.module)


class CudaGraph(Eager):
    """The operations of PyTorch, recorded once and started together: without the time that Python takes for each."""

    name = "cuda_graph"
    devices: ClassVar[tuple[str, ...]] = ("cuda",)

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Record the network, after runs in which libraries choose their kernels."""
        call, device = partial(deployment.inputs.call, deployment.module), settings.torch_device
        stream, graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(N_BEFORE_RECORDING):
                call()
        torch.cuda.current_stream(device).wait_stream(stream)
        try:
            with torch.cuda.graph(graph):
                call()
        except RuntimeError as error:
            raise RaynasError(f"it cannot be recorded as a graph, take back end eager ({one_line(error)})") from error
        return graph.replay


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
