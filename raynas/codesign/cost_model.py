"""Cycles, memory traffic and energy of a matrix product on a systolic array, by equations.

Cycles: Samajdar et al., "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using SCALE-Sim"
(ISPASS 2020), whose dataflows and double buffers these are. Traffic: an operand is loaded again for each iteration of a
loop that does not concern it, unless the part that is used again fits into its buffer (Parashar et al., "Timeloop",
ISPASS 2019); of the two orders of the loops over folds the one with less traffic is taken. Latency: the larger of
computing and loading, a roofline (Williams et al., CACM 2009). Energy: see ``technology``. For an array that keeps rows
see ``row_stationary``.

Not modelled: operations that are no products, such as pooling and activations, which the array does not compute; stalls
other than those of bandwidth; static power; numbers that stay on the chip from one layer to the next; inputs that two
parts of a product share at their border.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from raynas.codesign.accelerator import SYSTOLIC, Accelerator, Dataflow
from raynas.codesign.mapped import MappedProduct
from raynas.codesign.products import MatrixProduct
from raynas.codesign.row_stationary import RowStationary
from raynas.codesign.technology import MOVES, SUM_BITS


@dataclass(frozen=True)
class ProductOnArray(MappedProduct):
    """A matrix product on a systolic array."""

    moves = MOVES

    @property
    def dataflow(self) -> Dataflow:
        """Dimensions and operands at the sides of the array."""
        return SYSTOLIC[self.accelerator.dataflow]

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """The sizes of the product along rows, columns and time: S_R, S_C and T of the paper."""
        flow = self.dataflow
        return getattr(self.product, flow.rows), getattr(self.product, flow.cols), getattr(self.product, flow.time)

    @cached_property
    def folds(self) -> tuple[int, int]:
        """The number of folds along rows and columns: F_R and F_C."""
        return ceil(self.sizes[0] / self.accelerator.rows), ceil(self.sizes[1] / self.accelerator.cols)

    @property
    def compute_cycles(self) -> int:
        """The cycles of the array: (2 R + C + T - 2) F_R F_C."""
        array, (fold_rows, fold_cols) = self.accelerator, self.folds
        cycles = (2 * array.rows + array.cols + self.sizes[2] - 2) * fold_rows * fold_cols
        return cycles * self.product.groups

    def _uses(self, operand: str) -> int:
        """Return the number of folds that use each number of an operand."""
        flow = self.dataflow
        return {flow.stationary: 1, flow.by_row: self.folds[1], flow.by_col: self.folds[0]}[operand]

    @cached_property
    def sram_bits(self) -> dict[str, int]:
        """The bits that the array reads from and writes to the buffer of each operand.

        A partial sum is written in each fold that adds to it, and read in all but the first.
        """
        p, bits = self.product, self.accelerator.bits
        accesses = {
            "input": p.m * p.k * self._uses("input") * bits,
            "weight": p.k * p.n * self._uses("weight") * bits,
            "output": p.m * p.n * (2 * self._uses("output") - 1) * SUM_BITS,
        }
        return {operand: n * p.groups for operand, n in accesses.items()}

    @cached_property
    def dram_bits(self) -> dict[str, int]:
        """The bits that move between each buffer and the memory outside, in the order of loops with fewer."""
        orders = [self._dram_bits(rows_outside) for rows_outside in (True, False)]
        return min(orders, key=lambda bits: sum(bits.values()))

    def _dram_bits(self, rows_outside: bool) -> dict[str, int]:
        return self.bits_loaded({operand: self._loads(operand, rows_outside) for operand in self.product.elements})

    def _loads(self, operand: str, rows_outside: bool) -> int:
        """Return how often each number of an operand is loaded in an order of the loops over folds."""
        flow, array = self.dataflow, self.accelerator
        if operand == flow.stationary:
            return 1
        is_by_row = operand == flow.by_row
        side, size = (array.rows, self.sizes[0]) if is_by_row else (array.cols, self.sizes[1])
        # In the outer loop the part of a fold is used again by all folds inside; in the inner loop all parts are.
        used_again = min(side, size) if rows_outside == is_by_row else size
        fits = self.bits_of(operand) * used_again <= self.half_buffer(operand) * size
        return 1 if fits else self._uses(operand)


@dataclass(frozen=True)
class AcceleratorCost:
    """The cost of a network on an accelerator for one example.

    Args:
        cycles: of all products, one after another.
        latency_ms: the time of these cycles.
        energy_mj: energy, in mJ.
        area_mm2: area of the accelerator, in mm².
    """

    cycles: float
    latency_ms: float
    energy_mj: float
    area_mm2: float


def cost_on(products: Iterable[MatrixProduct], accelerator: Accelerator) -> AcceleratorCost:
    """Return the cost of the products of a network on an accelerator."""
    model = ProductOnArray if accelerator.dataflow in SYSTOLIC else RowStationary
    mapped = [(model(product, accelerator), n) for product, n in Counter(products).items()]
    cycles = sum(n * product.cycles for product, n in mapped)
    return AcceleratorCost(
        cycles=cycles,
        latency_ms=cycles / (1e3 * accelerator.clock_mhz),
        energy_mj=sum(n * product.energy_pj for product, n in mapped) / 1e9,
        area_mm2=accelerator.area_mm2,
    )
