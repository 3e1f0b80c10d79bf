from dataclasses import replace

import pytest

from raynas.codesign.accelerator import Accelerator
from raynas.codesign.technology import (
    ADD_PJ,
    MULTIPLY_PJ,
    SRAM_PJ,
    dram_pj_per_bit,
    interpolated,
    multiply_add_pj,
    sram_pj_per_bit,
)
from raynas.errors import SettingError, UnknownNameError


@pytest.mark.parametrize("published", [MULTIPLY_PJ, ADD_PJ, SRAM_PJ])
def test_published_values_stay_as_they_are(published: dict[float, float]) -> None:
    assert {at: pytest.approx(interpolated(published, at)) for at in published} == published


def test_values_between_are_on_a_straight_line_of_logarithms() -> None:
    assert interpolated({1: 1.0, 4: 16.0}, 2) == pytest.approx(4.0)
    assert interpolated({1: 1.0, 4: 16.0}, 8) == pytest.approx(64.0)
    assert interpolated({1: 1.0, 4: 16.0, 16: 16.0}, 8) == pytest.approx(16.0)


def test_energies_per_bit_and_per_multiply_add() -> None:
    assert multiply_add_pj(8) == pytest.approx(0.2 + 0.1)
    assert sram_pj_per_bit(8) == pytest.approx(10 / 64)
    assert dram_pj_per_bit() == pytest.approx(1300 / 64)
    assert sram_pj_per_bit(4) < sram_pj_per_bit(8) < sram_pj_per_bit(100) < sram_pj_per_bit(2048) < dram_pj_per_bit()


def test_area_by_hand() -> None:
    small = Accelerator(rows=2, cols=3, input_kb=1, weight_kb=1, output_kb=2)
    assert small.area_mm2 == pytest.approx((6 * (282 + 137) + 4 * 8192 * 0.346) / 1e6)
    n_bits = 4 * 8192 + 6 * ((12 + 224) * 8 + 24 * 32)
    keeping_rows = replace(small, dataflow="row_stationary")
    assert keeping_rows.area_mm2 == pytest.approx((6 * (282 + 137) + n_bits * 0.346) / 1e6)


def test_an_accelerator_is_checked() -> None:
    with pytest.raises(SettingError, match="rows must be a whole number of at least 1, got 0"):
        Accelerator(rows=0)
    with pytest.raises(SettingError, match="clock_mhz must be a number above 0"):
        Accelerator(clock_mhz=0)
    with pytest.raises(UnknownNameError, match="unknown dataflow 'output'"):
        Accelerator(dataflow="output")
