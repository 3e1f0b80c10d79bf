import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from raynas.errors import RaynasError
from raynas.metrics import energy_meters
from raynas.metrics.energy_meters import Nvml, Rapl, meter_of


def zone(folder: Path, place: str, name: str, energy_uj: int, largest: int = 1000_000) -> Path:
    made = folder / f"intel-rapl{place}"
    made.mkdir(parents=True, exist_ok=True)
    for file, content in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", largest)):
        (made / file).write_text(f"{content}\n")
    return made


def test_processors_and_memory_are_added_up_but_not_their_parts(tmp_path: Path) -> None:
    parts = [("", ""), (":0", "package-0"), (":0:0", "core"), (":0:1", "dram"), (":1", "package-1"), (":2", "psys")]
    for place, name in parts[1:]:
        zone(tmp_path, place, name, 100)
    zone(tmp_path, "-mmio:0", "package-0", 100)  # the first package again, by another way
    meter = Rapl(tmp_path)
    assert meter.joules() == 0
    for place, name in parts[1:]:
        zone(tmp_path, place, name, 2_100)
    zone(tmp_path, "-mmio:0", "package-0", 2_100)
    assert meter.joules() == meter.joules() == 3 * 2_000 / 1e6


def test_a_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    zone(tmp_path, ":0", "package-0", 999_000)
    meter = Rapl(tmp_path)
    for now, joules in ((1_000, 0.002), (500_000, 0.501), (0, 1.001)):
        zone(tmp_path, ":0", "package-0", now)
        assert meter.joules() == pytest.approx(joules)


def test_a_machine_without_counters_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_meters, "POWERCAP", tmp_path / "none")
    with pytest.raises(
        RaynasError, match=r"does not tell its energy: there are no RAPL counters in .*Metric\("
    ) as found:
        meter_of(torch.device("cpu"))
    assert "\n" not in str(found.value)
    with pytest.raises(RaynasError, match="no meter for the energy of mps"):
        meter_of(torch.device("mps"))


def test_counters_for_root_alone_are_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, ":0", "package-0", 1)
    read = Path.read_text

    def guarded(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(RaynasError, match=r"root alone: sudo chmod a\+r .*energy_uj"):
        Rapl(tmp_path)


def test_counters_that_hold_no_number_are_refused_at_once(tmp_path: Path) -> None:
    (zone(tmp_path, ":0", "package-0", 1) / "max_energy_range_uj").unlink()  # not when the counter starts again
    with pytest.raises(RaynasError, match=r"RAPL counters in .* cannot be read: .*max_energy_range_uj") as found:
        Rapl(tmp_path)
    assert "\n" not in str(found.value)
    (zone(tmp_path, ":0", "package-0", 1) / "energy_uj").write_text("none\n")
    with pytest.raises(RaynasError, match=r"cannot be read: .*invalid literal"):
        Rapl(tmp_path)


def test_processors_start_again_apart_from_each_other(tmp_path: Path) -> None:
    for place in (":0", ":1"):
        zone(tmp_path, place, f"package-{place[1]}", 999_000)
    meter = Rapl(tmp_path)
    zone(tmp_path, ":0", "package-0", 1_000)
    zone(tmp_path, ":1", "package-1", 999_500)
    assert meter.joules() == pytest.approx((2_000 + 500) / 1e6)


class NVMLError(Exception):
    """As that of pynvml."""


def nvml(monkeypatch: pytest.MonkeyPatch, readings: list[int]) -> list[str]:
    """Put a fake NVML in place; return the GPUs that are asked for."""
    asked: list[str] = []

    def total(handle: str) -> int:
        if not readings:
            raise NVMLError("Not Supported")
        return readings.pop(0)

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=asked.append,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"id-{device.index}"))
    return asked


def test_a_gpu_is_found_by_its_identifier_and_counted_in_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = nvml(monkeypatch, [5_000, 7_500])
    assert meter_of(torch.device("cuda", 1)).joules() == 2.5
    assert asked == ["GPU-id-1"]


def test_a_gpu_that_does_not_tell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, [])
    with pytest.raises(RaynasError, match="this GPU does not tell its energy: NVMLError: Not Supported"):
        Nvml(torch.device("cuda", 0))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(RaynasError, match="pip install nvidia-ml-py"):
        Nvml(torch.device("cuda", 0))
