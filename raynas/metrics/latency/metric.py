"""latency(): latency as a metric of a search, measured with a back end."""

from dataclasses import dataclass

from raynas.core.inputs import Arguments
from raynas.core.measurement import Measured
from raynas.core.metric import Candidate, Metric
from raynas.metrics.latency.backends import backend_named
from raynas.metrics.latency.measure import time_network
from raynas.metrics.latency.settings import LatencySettings


def latency(
    backend: str = "eager",
    *,
    batch_size: int = 1,
    n_threads: int | None = None,
    dtype: str = "float32",
    name: str = "latency_ms",
) -> Metric:
    """Return the metric of the latency of networks on a back end.

    ``raynas.search(..., metrics=[raynas.latency("onnxruntime")], constraints="latency_ms <= 5")`` measures with ONNX
    Runtime wherever latency is asked for.

    Args:
        backend: "eager", "compile", "export" (AOTInductor), "onnxruntime", "executorch", "openvino" or "tensorrt".
            Those that compile take from seconds to minutes for each architecture.
        batch_size: number of examples of a run; the latency is that of the whole batch.
        n_threads: CPU threads within an operation; None for the ``latency_threads`` of the trials.
        dtype: type of weights and real inputs: "float32", "float16" or "bfloat16".
        name: of the metric; another one than "latency_ms" for several in one search, such as "latency_ms@onnxruntime".

    Raises:
        SettingError: if a number or a name is none.
        UnknownNameError: if there is no such back end.
    """
    measure = LatencyMeasure(backend=backend, batch_size=batch_size, n_threads=n_threads, dtype=dtype)
    title = name.replace("_ms", "", 1) if name.startswith("latency_ms") else name
    return Metric(name=name, mode="min", unit="ms", title=title, measure=measure, needs="device")


@dataclass(frozen=True, kw_only=True)
class LatencyMeasure:
    """Measures the latency of a candidate; see ``latency``."""

    backend: str = "eager"
    batch_size: int = 1
    n_threads: int | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        backend_named(self.backend)
        self.settings(1, "cpu")

    def settings(self, n_threads: int, device: str) -> LatencySettings:
        """Return the settings of a measurement.

        Args:
            n_threads: CPU threads where none are given.
            device: device of torch.
        """
        threads = n_threads if self.n_threads is None else self.n_threads
        return LatencySettings(
            backend=self.backend, batch_size=self.batch_size, n_threads=threads, dtype=self.dtype, device=device
        )

    def __call__(self, candidate: Candidate) -> Measured:
        """Return the latency of a network with fresh weights, in ms."""
        inputs = Arguments.of(candidate.example(self.batch_size))
        settings = self.settings(candidate.n_threads, str(candidate.device))
        return time_network(candidate.model, inputs, settings).measured
