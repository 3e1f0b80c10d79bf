"""Settings of a measurement of latency."""

from dataclasses import dataclass

import torch

from raynas.errors import SettingError
from raynas.validate import make_plain, positive, require_whole

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Types that weights and real inputs may have, by name."""


@dataclass(frozen=True, kw_only=True)
class LatencySettings:
    """Settings of a measurement of latency.

    Args:
        backend: name of what runs the network, one of ``BACKENDS``.
        batch_size: number of examples of a run; the latency is that of the whole batch.
        n_threads: CPU threads within an operation.
        dtype: type of weights and real inputs: "float32", "float16" or "bfloat16".
        device: device of torch to run on, such as "cpu" or "cuda".
        n_runs: maximum number of timed runs.
        n_warmup: number of runs before them that do not count.
        max_seconds: time after which warm-up and timed runs end early, each; at least ``MIN_RUNS`` are timed.
        max_attempts: number of measurements until one can be trusted.

    Raises:
        SettingError: if a number or a name is none.
    """

    backend: str = "eager"
    batch_size: int = 1
    n_threads: int = 1
    dtype: str = "float32"
    device: str = "cpu"
    n_runs: int = 100
    n_warmup: int = 5
    max_seconds: float = 0.2
    max_attempts: int = 3

    def __post_init__(self) -> None:
        make_plain(self)
        for name, least in (("batch_size", 1), ("n_threads", 1), ("n_runs", 1), ("n_warmup", 0), ("max_attempts", 1)):
            require_whole(name, getattr(self, name), least)
        positive("max_seconds", self.max_seconds)
        if self.dtype not in DTYPES:
            raise SettingError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    @property
    def torch_device(self) -> torch.device:
        """The device of torch to run on."""
        return torch.device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of weights and real inputs."""
        return DTYPES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class OnBackEnd:
    """A measurement of candidates on a back end; what it leaves open is as the trials have it."""

    backend: str = "eager"
    batch_size: int = 1
    n_threads: int | None = None
    dtype: str = "float32"
    torch_device: str | None = None

    @property
    def identity(self) -> str:
        """Equal for two measurements that measure in one way."""
        return repr(self)

    def settings(self, n_threads: int, device: torch.device) -> LatencySettings:
        """Return the settings of a measurement.

        Args:
            n_threads: CPU threads where none are given.
            device: device of torch where none is given.
        """
        return LatencySettings(
            backend=self.backend,
            batch_size=self.batch_size,
            n_threads=n_threads if self.n_threads is None else self.n_threads,
            dtype=self.dtype,
            device=self.torch_device or str(device),
        )
