"""Back ends that latency can be measured with, by name."""

from raynas.errors import UnknownNameError
from raynas.metrics.latency.backends.backend import Backend, Run
from raynas.metrics.latency.backends.executorch import ExecuTorch
from raynas.metrics.latency.backends.onnx_runtime import OnnxRuntime, TensorRT
from raynas.metrics.latency.backends.openvino import OpenVino
from raynas.metrics.latency.backends.torch_backends import AotInductor, Compiled, CudaGraph, Eager

__all__ = ["BACKENDS", "Backend", "Run", "backend_named"]

_OF_TORCH = (Eager(), CudaGraph(), Compiled(), AotInductor())

BACKENDS: dict[str, Backend] = {
    backend.name: backend for backend in (*_OF_TORCH, OnnxRuntime(), ExecuTorch(), OpenVino(), TensorRT())
}
"""The back ends by name; those beyond torch are extras."""


def backend_named(name: str) -> Backend:
    """Return a back end.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    if name not in BACKENDS:
        raise UnknownNameError("latency back end", name, BACKENDS)
    return BACKENDS[name]
