"""Meters of energy: the counters of the machine, read before and after what is measured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import torch

from raynas.errors import RaynasError, one_line

POWERCAP = Path("/sys/class/powercap")
"""Folder of the RAPL counters of Linux."""

OWN = 'give a measurement of your own, Metric(name="energy_mj", mode="min", unit="mJ", measure=...)'


class Meter(Protocol):
    """A counter of energy."""

    name: str

    def joules(self) -> float:
        """Return the energy used since the meter was made, in J."""


@dataclass
class _Zone:
    """A part of the machine whose energy is counted: a processor or its memory.

    Args:
        folder: its folder; "energy_uj" there is a counter in microjoules, which starts again at "max_energy_range_uj".
    """

    folder: Path
    total: int = 0
    last: int = field(init=False)
    largest: int = field(init=False)

    def __post_init__(self) -> None:
        self.last, self.largest = self._counter("energy_uj"), self._counter("max_energy_range_uj")

    def microjoules(self) -> int:
        """Return the energy since the beginning; it must be asked for at least once in each round of the counter."""
        now = self._counter("energy_uj")
        step = now - self.last
        self.total += step if step >= 0 else step + self.largest
        self.last = now
        return self.total

    def _counter(self, name: str) -> int:
        return int((self.folder / name).read_text())


class Rapl:
    """Energy of all processors and their memory by Intel's and AMD's counters, whatever uses it.

    The counters advance about every ms (Haehnel et al., SIGMETRICS Performance Evaluation Review 2012).

    Args:
        folder: the folder of the counters; ``POWERCAP`` if None.

    Raises:
        RaynasError: if the machine has none, as most virtual ones, or this user must not read them.
    """

    name = "RAPL"

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or POWERCAP
        found = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _is_counted(zone)]
        if not found:
            raise RaynasError(
                f"this machine does not tell its energy: there are no RAPL counters in {folder}, as on most virtual "
                f"machines; {OWN}"
            )
        try:
            self.zones = [_Zone(zone) for zone in found]
        except PermissionError:
            raise RaynasError(
                f"the RAPL counters are for root alone: sudo chmod a+r {folder}/intel-rapl:*/energy_uj, until the next "
                f"start of the machine; or {OWN}"
            ) from None
        except (OSError, ValueError) as error:
            raise RaynasError(f"the RAPL counters in {folder} cannot be read: {one_line(error)}; {OWN}") from error

    def joules(self) -> float:
        """Return the energy used since the meter was made, in J."""
        return sum(zone.microjoules() for zone in self.zones) / 1e6


def _is_counted(zone: Path) -> bool:
    """Return True for whole processors and for memory; cores are parts of processors, and would count twice."""
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    return name.startswith("package") or name == "dram"


class Nvml:
    """Energy of an NVIDIA GPU, of Volta or later, by NVML.

    Args:
        device: the GPU.

    Raises:
        RaynasError: if NVML is not installed, or the GPU does not tell.
    """

    name = "NVML"
    package: ClassVar[str] = "nvidia-ml-py"

    def __init__(self, device: torch.device) -> None:
        try:
            import pynvml
        except ImportError:
            raise RaynasError(f"the energy of a GPU needs NVML: pip install {self.package}; or {OWN}") from None
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            self._millijoules: Callable[[], int] = lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            self._start = self._millijoules()
        except pynvml.NVMLError as error:
            raise RaynasError(f"this GPU does not tell its energy: {one_line(error)}; {OWN}") from error

    def joules(self) -> float:
        """Return the energy used since the meter was made, in J."""
        return (self._millijoules() - self._start) / 1e3


def meter_of(device: torch.device) -> Meter:
    """Return the meter of a device: a CPU's or an NVIDIA GPU's.

    Raises:
        RaynasError: if its energy cannot be read.
    """
    if device.type == "cpu":
        return Rapl()
    if device.type == "cuda" and torch.version.hip is None:
        return Nvml(device)
    raise RaynasError(f"raynas has no meter for the energy of {device}; {OWN}")
