"""ExecuTorch with the kernels of XNNPACK, as on a phone, on the CPU of this machine."""

import importlib.metadata
from functools import partial
from typing import ClassVar

from torch.export import ExportedProgram

from raynas.errors import RaynasError
from raynas.metrics.latency.backends.backend import Backend, Run
from raynas.metrics.latency.deployment import Deployment, Form
from raynas.metrics.latency.settings import LatencySettings
from raynas.nn.programs import quiet, reason_of, require_packages

PACKAGES = ("executorch", "torchao")
"""Packages that programs of ExecuTorch are made and run with."""


class ExecuTorch(Backend):
    """ExecuTorch; the operations that XNNPACK has run there, the others by portable kernels."""

    name = "executorch"
    form: ClassVar[Form] = "pte"
    packages = PACKAGES
    extra = "executorch"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16")

    @property
    def version(self) -> str:
        """Version of ExecuTorch."""
        return importlib.metadata.version("executorch")

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Load the program."""
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        portable_lib._unsafe_reset_threadpool(settings.n_threads)
        method = Runtime.get().load_program(deployment.file).load_method("forward")
        return partial(method.execute, deployment.inputs.tensors)


def lowered(program: ExportedProgram) -> bytes:
    """Return a program of ``torch.export`` as one of ExecuTorch.

    Raises:
        RaynasError: if a package is missing or an operation has no form there.
    """
    require_packages(PACKAGES, ExecuTorch.extra)
    try:
        with quiet():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            return bytes(edge.to_executorch().buffer)
    except Exception as error:
        raise RaynasError(f"ExecuTorch cannot run it: {reason_of(error)}") from None
