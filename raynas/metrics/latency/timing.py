"""Timing: a measured latency, and all that is needed to judge it."""

from dataclasses import asdict, dataclass

from raynas.core.measurement import Measured, Provenance


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A measured latency.

    Args:
        ms: median time of a run, in ms; a run is that of a whole batch.
        spread: interquartile range of the times as a share of their median; None if a single time was given.
        backend: name of the back end, or the command of the user's that measured.
        version: version of its software.
        device: name of the processor.
        n_threads: CPU threads within an operation.
        batch_size: number of examples of a run.
        dtype: type of weights and real inputs.
        n_runs: number of runs that were timed.
        attempts: number of measurements until one could be trusted, or until no more were made.
        halves: difference between the medians of two interleaved halves of the runs, as a share of the median.
        waited: share of the time that its threads were ready to run but waited for a CPU; None where unknown.
        load: number of CPUs that other programs used meanwhile; None where unknown.
        reference_ms: median time of the reference network, timed in turns with the runs.
        slowdown: that time over the shortest that the reference network ever took on this machine.
        timer: "clock" for that of the CPU, "CUDA events" for that of a GPU.
        doubt: the reason why the latency cannot be trusted; "" if it can.
    """

    ms: float
    spread: float | None
    backend: str
    version: str
    device: str
    n_threads: int
    batch_size: int
    dtype: str
    n_runs: int
    attempts: int = 1
    halves: float | None = None
    waited: float | None = None
    load: float | None = None
    reference_ms: float | None = None
    slowdown: float | None = None
    timer: str = "clock"
    doubt: str = ""

    @property
    def reliable(self) -> bool:
        """True if there is no doubt."""
        return not self.doubt

    @property
    def measured(self) -> Measured:
        """The latency in ms as a value of a metric, with everything else as its provenance."""
        facts = {name: value for name, value in asdict(self).items() if name not in ("ms", "doubt")}
        return Measured(self.ms, Provenance.of(facts, self.doubt))
