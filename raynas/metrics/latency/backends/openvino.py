"""OpenVINO on the CPU."""

from functools import partial
from typing import ClassVar

from raynas.metrics.latency.backends.backend import Backend, Run
from raynas.metrics.latency.deployment import Deployment, Form
from raynas.metrics.latency.settings import LatencySettings
from raynas.nn.programs import PACKAGES

PRECISIONS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
"""OpenVINO's names of types. By itself it computes in bfloat16 where the CPU can, whatever the type of the weights."""


class OpenVino(Backend):
    """OpenVINO, set for the latency of one request."""

    name = "openvino"
    form: ClassVar[Form] = "onnx"
    packages = (*PACKAGES, "openvino")
    extra = "openvino"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16")

    @property
    def version(self) -> str:
        """Version of OpenVINO."""
        import openvino

        return str(openvino.__version__).split("-")[0]

    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Compile the network for the CPU."""
        import openvino

        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": settings.n_threads,
            "INFERENCE_PRECISION_HINT": PRECISIONS[settings.dtype],
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = core.compile_model(core.read_model(deployment.file), "CPU", options).create_infer_request()
        return partial(request.infer, [tensor.numpy() for tensor in deployment.inputs.tensors], share_inputs=True)
