"""Accelerator: an array of processing elements with its buffers."""

from collections.abc import Mapping
from dataclasses import dataclass

from raynas.codesign.technology import SRAM_CELL_UM2, SUM_BITS, multiply_add_um2
from raynas.errors import UnknownNameError
from raynas.validate import make_plain, positive, require_whole


@dataclass(frozen=True)
class Dataflow:
    """Dimensions of a matrix product (m, n, k) along the sides of an array and in time, and its operands there.

    Those of Samajdar et al., "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using
    SCALE-Sim" (ISPASS 2020).

    Args:
        rows: dimension along the rows.
        cols: dimension along the columns.
        time: dimension in time.
        stationary: operand of which each processing element holds one number.
        by_row: operand of rows and time.
        by_col: operand of columns and time.
    """

    rows: str
    cols: str
    time: str
    stationary: str
    by_row: str
    by_col: str


SYSTOLIC: Mapping[str, Dataflow] = {
    "output_stationary": Dataflow("m", "n", "k", "output", "input", "weight"),
    "weight_stationary": Dataflow("k", "n", "m", "weight", "input", "output"),
    "input_stationary": Dataflow("k", "m", "n", "input", "weight", "output"),
}
"""The dataflows of a systolic array by name."""

DATAFLOWS = (*SYSTOLIC, "row_stationary")
"""The names of all dataflows; for the last one see ``raynas.codesign.row_stationary``."""

REGISTERS: Mapping[str, int] = {"input": 12, "weight": 224, "output": 24}
"""Numbers of each operand that the registers of an element hold that keeps rows: those of Eyeriss (JSSC 2017)."""


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """An array of processing elements, each with a multiplier and an adder, and three double buffers of SRAM.

    Args:
        rows: number of rows of the array.
        cols: number of columns.
        input_kb: size of the buffer of inputs, in kB of 1024 bytes; half of it is filled while the other half is read.
        weight_kb: size of the buffer of weights.
        output_kb: size of the buffer of outputs and partial sums.
        dataflow: one of ``DATAFLOWS``.
        bits: of inputs and weights; partial sums have 32.
        clock_mhz: clock of the array.
        dram_gb_per_s: bandwidth of the memory outside, in 10^9 bytes a second.

    Raises:
        SettingError: if a number is out of its range.
        UnknownNameError: if there is no such dataflow.
    """

    rows: int = 16
    cols: int = 16
    input_kb: int = 64
    weight_kb: int = 64
    output_kb: int = 64
    dataflow: str = "output_stationary"
    bits: int = 8
    clock_mhz: float = 500.0
    dram_gb_per_s: float = 6.4

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("rows", "cols", "input_kb", "weight_kb", "output_kb", "bits"):
            require_whole(name, getattr(self, name), 1)
        for name in ("clock_mhz", "dram_gb_per_s"):
            positive(name, getattr(self, name))
        if self.dataflow not in DATAFLOWS:
            raise UnknownNameError("dataflow", self.dataflow, DATAFLOWS)

    @property
    def buffer_kb(self) -> Mapping[str, int]:
        """The size of the buffer of each operand, in kB."""
        return {"input": self.input_kb, "weight": self.weight_kb, "output": self.output_kb}

    @property
    def dram_bits_per_cycle(self) -> float:
        """The bits that the memory outside gives or takes in a cycle."""
        return 8e3 * self.dram_gb_per_s / self.clock_mhz

    @property
    def area_mm2(self) -> float:
        """The area of multipliers, adders and cells of SRAM: a proxy, without wires and control.

        Registers count as SRAM where rows are kept in them, and not at all in a systolic array.
        """
        n_bits = 8 * 1024 * sum(self.buffer_kb.values()) + self.rows * self.cols * self._register_bits
        return (self.rows * self.cols * multiply_add_um2(self.bits) + n_bits * SRAM_CELL_UM2) / 1e6

    @property
    def _register_bits(self) -> int:
        if self.dataflow in SYSTOLIC:  # a few, which are left out like wires
            return 0
        return (REGISTERS["input"] + REGISTERS["weight"]) * self.bits + REGISTERS["output"] * SUM_BITS
