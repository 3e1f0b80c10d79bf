"""MappedProduct: what the models of all dataflows share: a roofline of cycles, and energy from accesses."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from raynas.codesign.accelerator import Accelerator
from raynas.codesign.products import MatrixProduct
from raynas.codesign.technology import SUM_BITS, dram_pj_per_bit, multiply_add_pj, sram_pj_per_bit


@dataclass(frozen=True)
class MappedProduct(ABC):
    """A matrix product on an accelerator. All numbers are those of all of its groups, one after another.

    Args:
        product: the product.
        accelerator: the accelerator.
    """

    product: MatrixProduct
    accelerator: Accelerator

    @property
    @abstractmethod
    def compute_cycles(self) -> int:
        """The cycles of the array."""

    @property
    @abstractmethod
    def sram_bits(self) -> dict[str, int]:
        """The bits that the array reads from and writes to the buffer of each operand."""

    @property
    @abstractmethod
    def dram_bits(self) -> dict[str, int]:
        """The bits that move between each buffer and the memory outside."""

    @property
    @abstractmethod
    def moves(self) -> float:
        """The energy of moving the numbers of a multiply-add, in units of its arithmetic."""

    @property
    def cycles(self) -> float:
        """The cycles of computing or of the memory outside, whichever are more."""
        return self.cycles_of(self.compute_cycles, self.dram_bits)

    @property
    def energy_pj(self) -> float:
        """The energy of arithmetic, of moves in the array, and of accesses to buffers and the memory outside, in pJ."""
        return self.energy_of(self.moves, self.sram_bits, self.dram_bits)

    def cycles_of(self, compute_cycles: int, dram_bits: Mapping[str, int]) -> float:
        """Return the cycles of computing or of traffic with the memory outside, whichever are more."""
        return max(compute_cycles, sum(dram_bits.values()) / self.accelerator.dram_bits_per_cycle)

    def energy_of(self, moves: float, sram_bits: Mapping[str, int], dram_bits: Mapping[str, int]) -> float:
        """Return the energy of the multiply-adds with their moves, and of accesses, in pJ."""
        buffers = sum(
            (sram_bits[operand] + dram_bits[operand]) * sram_pj_per_bit(kb)  # what is loaded is written first
            for operand, kb in self.accelerator.buffer_kb.items()
        )
        outside = sum(dram_bits.values()) * dram_pj_per_bit()
        return self.product.macs * (1 + moves) * multiply_add_pj(self.accelerator.bits) + buffers + outside

    def bits_loaded(self, loads: Mapping[str, int]) -> dict[str, int]:
        """Return the bits that move if each number of an operand is loaded so often."""
        n, groups, bits = self.product.elements, self.product.groups, self.accelerator.bits
        spilled = 2 * (loads["output"] - 1) * SUM_BITS  # partial sums that are written and read again
        return {
            "input": n["input"] * loads["input"] * bits * groups,
            "weight": n["weight"] * loads["weight"] * bits * groups,
            "output": n["output"] * (bits + spilled) * groups,
        }

    def bits_of(self, operand: str) -> int:
        """Return the bits of an operand of one product in its buffer."""
        return self.product.elements[operand] * (SUM_BITS if operand == "output" else self.accelerator.bits)

    def half_buffer(self, operand: str) -> int:
        """Return the bits of the half of a double buffer."""
        return self.accelerator.buffer_kb[operand] * 1024 * 8 // 2
