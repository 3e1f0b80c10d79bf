"""Energy as a metric, on counters that advance with a known power."""

import time
from pathlib import Path

import pytest

from raynas.core.measurement import Measured
from raynas.errors import RaynasError, SettingError, UnknownNameError
from raynas.metrics import METRICS, Measurer
from raynas.metrics import energy as energy_module
from raynas.metrics.energy import energy
from raynas.metrics.latency.machine import CpuWatch
from raynas.search_spaces import NASBench201

SPACE = NASBench201(input_shape=(3, 8, 8), channels=4, cells=1)
ARCH = SPACE.default
WATTS = 50.0


class Meter:
    """Uses a power all the time, or none at all.

    Args:
        watts: its power in turn, one for each reading; the last one stays.
    """

    name = "fake"

    def __init__(self, *watts: float) -> None:
        self.watts, self.last, self.total = list(watts), time.perf_counter(), 0.0

    def joules(self) -> float:
        now = time.perf_counter()
        watts = self.watts.pop(0) if len(self.watts) > 1 else self.watts[0]
        self.total, self.last = self.total + watts * (now - self.last), now
        return self.total


def measured(monkeypatch: pytest.MonkeyPatch, meter: Meter, load: float | None = 0.0) -> Measured:
    monkeypatch.setattr(energy_module, "meter_of", lambda device: meter)
    monkeypatch.setattr(CpuWatch, "load", load)
    value = Measurer(SPACE).value(energy(seconds=0.2), ARCH)
    assert isinstance(value, Measured)
    return value


def test_is_that_of_a_run_with_its_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.perf_counter()
    value = measured(monkeypatch, Meter(WATTS), load=None)
    took = time.perf_counter() - start
    facts = value.provenance.facts
    n_runs = int(facts["n_runs"])
    assert 1000 * WATTS * 0.2 <= value * n_runs <= 1000 * WATTS * took
    assert facts["watts"] == pytest.approx(WATTS, rel=0.05) and facts["idle_watts"] == pytest.approx(WATTS, rel=0.05)
    assert facts["meter"] == "fake" and facts["backend"] == "eager" and facts["version"] and "load" not in facts


def test_others_that_use_the_machine_are_a_reason_for_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "busy: 50% of the CPU time was used by others" in measured(monkeypatch, Meter(WATTS), 1.0).provenance.doubt
    assert "busy" not in measured(monkeypatch, Meter(WATTS), 0.1).provenance.doubt


def test_halves_that_differ_are_measured_again_and_then_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_module, "MAX_HALVES", 1.0)  # whatever else this machine does meanwhile
    # Two readings of the idle machine, then two for each half.
    once = Meter(0, WATTS, 0, WATTS, 0, 9 * WATTS, 0, WATTS)
    assert "halves" not in measured(monkeypatch, once).provenance.doubt
    assert once.watts == [WATTS], "it was measured again"
    always = Meter(0, WATTS, *([0, WATTS, 0, 9 * WATTS] * 3), WATTS)
    assert "two halves of the runs differ by" in measured(monkeypatch, always).provenance.doubt
    assert always.watts == [WATTS]


def test_a_counter_that_stands_still_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RaynasError, match="counter of fake did not move"):
        measured(monkeypatch, Meter(0))


def test_of_the_table_is_refused_where_the_machine_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raynas.metrics.energy_meters.POWERCAP", tmp_path)
    with pytest.raises(RaynasError, match="does not tell its energy"):
        Measurer(SPACE).value(METRICS["energy_mj"], ARCH)


def test_settings_that_are_none_are_refused() -> None:
    assert METRICS["energy_mj"] == energy() != energy("onnxruntime")
    with pytest.raises(UnknownNameError, match="onnxruntime"):
        energy("onnx")
    with pytest.raises(SettingError, match="seconds"):
        energy(seconds=0)
    with pytest.raises(SettingError, match="seconds must be at most 120, got 600"):  # counters start again
        energy(seconds=600)
    with pytest.raises(SettingError, match="dtype"):
        energy(dtype="int8")
