"""ONNX Runtime, on the CPU, on a GPU by CUDA, or by TensorRT."""

from functools import partial
from typing import ClassVar

from raynas.errors import RaynasError
from raynas.metrics.latency.backends.backend import Backend, Run
from raynas.metrics.latency.deployment import Deployment, Form
from raynas.metrics.latency.settings import LatencySettings
from raynas.nn.programs import PACKAGES


class OnnxRuntime(Backend):
    """ONNX Runtime; inputs and outputs are in the memory of the CPU."""

    name = "onnxruntime"
    form: ClassVar[Form] = "onnx"
    packages = PACKAGES
    extra = "export"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16")
    providers: ClassVar[dict[str, str]] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

    @property
    def version(self) -> str:
        """Version of ONNX Runtime."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Open a session.

        Raises:
            RaynasError: if this build of ONNX Runtime cannot use the device.
        """
        import onnxruntime

        provider = self.providers[settings.torch_device.type]
        if provider not in onnxruntime.get_available_providers():
            raise RaynasError(f"this onnxruntime has no {provider}: pip install onnxruntime-gpu in its place")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = settings.n_threads, 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(deployment.file, options, providers=[provider])
        names = [given.name for given in session.get_inputs()]
        feed = {name: tensor.numpy() for name, tensor in zip(names, deployment.inputs.tensors, strict=True)}
        return partial(session.run, None, feed)


class TensorRT(OnnxRuntime):
    """TensorRT, as an execution provider of ONNX Runtime; it builds an engine for the GPU first."""

    name = "tensorrt"
    devices: ClassVar[tuple[str, ...]] = ("cuda",)
    providers: ClassVar[dict[str, str]] = {"cuda": "TensorrtExecutionProvider"}

    def check_installation(self) -> None:
        """Check that this build of ONNX Runtime has TensorRT."""
        import onnxruntime

        if self.providers["cuda"] not in onnxruntime.get_available_providers():
            raise RaynasError("it needs TensorRT and a GPU: pip install onnxruntime-gpu tensorrt")
