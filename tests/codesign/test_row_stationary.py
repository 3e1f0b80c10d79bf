"""Rows that stay: against counts by hand."""

import pytest

from raynas.codesign import Accelerator, cost_on
from raynas.codesign.products import MatrixProduct, Window
from raynas.codesign.row_stationary import Assignment, RowStationary
from raynas.codesign.technology import SUM_BITS, dram_pj_per_bit, multiply_add_pj, sram_pj_per_bit


def keeping_rows(rows: int, cols: int, kb: int = 64) -> Accelerator:
    return Accelerator(rows=rows, cols=cols, input_kb=kb, weight_kb=kb, output_kb=kb, dataflow="row_stationary")


# Two filters of 3 x 3 on two channels of 6 x 6.
SMALL = MatrixProduct(m=16, n=2, k=18, n_inputs=72, window=Window(3, 3, 4, 4))


@pytest.mark.parametrize(
    "filters, channels, groups, kernel, size, n_busy",
    [
        (96, 3, 1, 11, 55, 11 * 55 / 4),  # the rows of the output in four strips
        (256, 48, 2, 5, 27, 2 * 5 * 27 / 2),  # two sets, each in two strips
        (384, 256, 1, 3, 13, 4 * 3 * 13),  # four sets
        (384, 192, 2, 3, 13, 4 * 3 * 13),
        (256, 192, 2, 3, 13, 4 * 3 * 13),
    ],
)
def test_busy_elements_of_the_chip_by_hand(
    filters: int, channels: int, groups: int, kernel: int, size: int, n_busy: float
) -> None:
    # The convolutions of AlexNet on 12 x 14 elements, the size of the chip.
    window = Window(kernel, kernel, size, size)
    product = MatrixProduct(size * size, filters // groups, channels * kernel**2, groups, window=window)
    mapped = RowStationary(product, keeping_rows(12, 14))
    assert product.macs / mapped.compute_cycles == pytest.approx(n_busy)


def test_a_set_that_fills_the_array_by_hand() -> None:
    mapped = RowStationary(SMALL, keeping_rows(3, 4))
    assert mapped.assignment == Assignment(filter_sets=1, channel_sets=1, filters=2, channels=2)
    assert mapped.compute_cycles == SMALL.macs / 12 == 48
    assert mapped.sram_bits == {"input": 72 * 8, "weight": 36 * 8, "output": 32 * SUM_BITS}
    assert mapped.dram_bits == {"input": 72 * 8, "weight": 36 * 8, "output": 32 * 8}
    # An input serves 3 columns of 2 filters, a weight 4 columns of the output, a sum 3 columns of 2 channels.
    assert mapped.moves == pytest.approx(4 + 2 * (1 / 6 + 1 / 4 + 1 / 6))
    on_chip = ((72 + 36) * 8 * 2 + 32 * (SUM_BITS + 8)) * sram_pj_per_bit(64)
    outside = (72 + 36 + 32) * 8 * dram_pj_per_bit()
    expected = SMALL.macs * (1 + mapped.moves) * multiply_add_pj(8) + on_chip + outside
    assert cost_on([SMALL], keeping_rows(3, 4)).energy_mj == pytest.approx(expected / 1e9)


def test_sets_side_by_side_strips_and_parts_by_hand() -> None:
    assert RowStationary(SMALL, keeping_rows(6, 8)).compute_cycles == 48 / 4
    strips = RowStationary(SMALL, keeping_rows(3, 2))
    assert strips.compute_cycles == 96 and strips.sram_bits["weight"] == 2 * 36 * 8
    parts = RowStationary(SMALL, keeping_rows(2, 4))  # rows 1 and 2 of the filters, then row 3
    assert parts.compute_cycles == 96 and parts.sram_bits["output"] == 3 * 32 * SUM_BITS


def test_filters_that_do_not_fit_into_registers_by_hand() -> None:
    # 60 filters of one number on one element: 24 at a time, so the 4,000 inputs are read three times.
    product, small = MatrixProduct(m=4000, n=60, k=1), keeping_rows(1, 1, kb=1)
    mapped = RowStationary(product, small)
    assert mapped.compute_cycles == product.macs
    assert mapped.sram_bits["input"] == 3 * 4000 * 8
    assert mapped.dram_bits == {"input": 3 * 4000 * 8, "weight": 60 * 8, "output": 4000 * 60 * 8}
    roomy = RowStationary(product, keeping_rows(1, 1, kb=8))  # half of it holds the inputs
    assert roomy.dram_bits["input"] == 4000 * 8


def test_a_filter_wider_than_the_registers_is_cut() -> None:
    product = MatrixProduct(m=10, n=1, k=20, window=Window(1, 20, 1, 10))
    mapped = RowStationary(product, keeping_rows(1, 1))
    assert mapped.compute_cycles == product.macs and mapped.sram_bits["output"] == 3 * 10 * SUM_BITS


def test_no_assignment_uses_more_registers_than_there_are() -> None:
    for window, k in ((Window(3, 3, 7, 7), 9 * 50), (Window(1, 11, 1, 9), 11 * 5), (Window(1, 1, 1, 4), 300)):
        mapped = RowStationary(
            MatrixProduct(window.out_rows * window.out_cols, 100, k, window=window), keeping_rows(8, 8)
        )
        for a in mapped.assignments():
            assert a.filter_sets * a.channel_sets <= mapped.n_sets and a.filters <= 24
            assert a.channels * window.cols <= 12 and a.filters * a.channels * window.cols <= 224
