"""Row-stationary dataflow: each processing element convolves a row of a filter with a row of the inputs.

Chen et al., "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for Convolutional Neural Networks" (ISCA
2016), and the chip of the same name (Chen et al., JSSC 2017). The elements of a set are as many as a filter has rows
and the output has rows; sums move up its columns. As many sets as fit on the array work on several filters or channels
at once. A set with more columns than the array has is cut into strips, one with more rows into parts. Which filters and
channels an element holds at a time is limited by its registers; the choice with the fewest cycles is taken, of these
the one with the least energy. Loops over groups of filters, groups of channels and strips have the order with the least
traffic (Parashar et al., "Timeloop", ISPASS 2019).

Not modelled besides what ``cost_model`` leaves out: the time in which a set fills, and the network that delivers the
numbers, which is as fast as they are needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from math import ceil, prod

from raynas.codesign.accelerator import REGISTERS
from raynas.codesign.mapped import MappedProduct
from raynas.codesign.products import Window
from raynas.codesign.technology import NEIGHBOUR, SUM_BITS

CONCERNS: Mapping[str, tuple[str, ...]] = {
    "input": ("channels", "strips"),
    "weight": ("filters", "channels"),
    "output": ("filters", "strips"),
}
"""The loops that choose a part of an operand."""

FEWER = 4
"""Divisor of the filters of an element that is tried too."""

ACCESSES = 4
"""Accesses to registers of a multiply-add: its weight, its input, and its sum twice."""


@dataclass(frozen=True)
class Assignment:
    """The filters and channels that are computed at a time.

    Args:
        filter_sets: number of sets of different filters.
        channel_sets: number of sets of different channels, for each of these.
        filters: number of filters that an element holds a row of.
        channels: number of channels of which it does.
    """

    filter_sets: int
    channel_sets: int
    filters: int
    channels: int


@dataclass(frozen=True)
class RowStationary(MappedProduct):
    """A product on an accelerator whose elements keep rows; one that is no convolution has filters of one number."""

    @cached_property
    def window(self) -> Window:
        """The rows and columns of filters and outputs."""
        return self.product.window or Window(1, 1, 1, self.product.m)

    @property
    def n_channels(self) -> int:
        """The number of channels of a filter."""
        return self.product.k // (self.window.rows * self.window.cols)

    @property
    def n_sets(self) -> int:
        """The number of sets that work at once."""
        array, window = self.accelerator, self.window
        return (array.rows // min(window.rows, array.rows)) * (array.cols // min(window.out_rows, array.cols))

    @property
    def n_strips(self) -> int:
        """The number of strips of the rows of the output."""
        return ceil(self.window.out_rows / self.accelerator.cols)

    @property
    def n_parts(self) -> int:
        """The number of parts of a filter: of its rows, and of a row that does not fit into the registers."""
        return ceil(self.window.rows / self.accelerator.rows) * ceil(self.window.cols / REGISTERS["input"])

    def assignments(self) -> Iterator[Assignment]:
        """Yield the assignments that are compared."""
        cols = min(self.window.cols, REGISTERS["input"])
        most = min(self.n_sets, self.product.n)
        for filter_sets in sorted({most, *(2**i for i in range(most.bit_length()))}):
            channel_sets = min(self.n_sets // filter_sets, self.n_channels)
            for channels in {1, min(REGISTERS["input"] // cols, ceil(self.n_channels / channel_sets))}:
                room = min(REGISTERS["output"], REGISTERS["weight"] // (channels * cols))
                filters = min(room, ceil(self.product.n / filter_sets))
                for fewer in {filters, ceil(filters / FEWER)}:  # their sums may fit into the buffer
                    yield Assignment(filter_sets, channel_sets, fewer, channels)

    @cached_property
    def assignment(self) -> Assignment:
        """The best assignment."""
        return min(self.assignments(), key=lambda chosen: (self._cycles(chosen), self._energy_pj(chosen)))

    def _cycles(self, chosen: Assignment) -> float:
        return self.cycles_of(self._compute_cycles(chosen), self._dram_bits(chosen))

    def _energy_pj(self, chosen: Assignment) -> float:
        return self.energy_of(self._moves(chosen), self._sram_bits(chosen), self._dram_bits(chosen))

    def _compute_cycles(self, chosen: Assignment) -> int:
        window = self.window
        rounds = ceil(self.product.n / chosen.filter_sets) * ceil(self.n_channels / chosen.channel_sets)
        a_row = ceil(window.cols / ceil(window.cols / REGISTERS["input"])) * window.out_cols
        return rounds * self.n_strips * self.n_parts * a_row * self.product.groups

    def _groups(self, chosen: Assignment) -> dict[str, int]:
        """Return the number of iterations of each loop."""
        return {
            "filters": ceil(self.product.n / (chosen.filter_sets * chosen.filters)),
            "channels": ceil(self.n_channels / (chosen.channel_sets * chosen.channels)) * self.n_parts,
            "strips": self.n_strips,
        }

    def _sram_bits(self, chosen: Assignment) -> dict[str, int]:
        """Return the bits that the array reads from and writes to the buffers: once for each loop that reuses none."""
        n, loops = self.product.elements, self._groups(chosen)
        numbers = {o: n[o] * prod(loops[loop] for loop in loops if loop not in CONCERNS[o]) for o in n}
        return {
            "input": numbers["input"] * self.accelerator.bits * self.product.groups,
            "weight": numbers["weight"] * self.accelerator.bits * self.product.groups,
            "output": (2 * numbers["output"] - n["output"]) * SUM_BITS * self.product.groups,
        }

    def _dram_bits(self, chosen: Assignment) -> dict[str, int]:
        loops = self._groups(chosen)
        orders = [{o: self._loads(o, order, loops) for o in CONCERNS} for order in permutations(loops)]
        return min(map(self.bits_loaded, orders), key=lambda bits: sum(bits.values()))

    def _loads(self, operand: str, order: tuple[str, ...], loops: Mapping[str, int]) -> int:
        """Return how often each number of an operand is loaded in an order of the loops, the outer one first."""
        (reusing,) = (loop for loop in order if loop not in CONCERNS[operand])
        outside = prod(loops[loop] for loop in order[: order.index(reusing)])
        part = self.bits_of(operand) / outside
        return 1 if part <= self.half_buffer(operand) else loops[reusing]

    def _moves(self, chosen: Assignment) -> float:
        """Return the energy of moving the numbers of a multiply-add, in units of its arithmetic.

        An input is used by all columns and filters in an element, a weight by all columns of the output, and a sum goes
        to the next element after all columns and channels.
        """
        cols = min(self.window.cols, REGISTERS["input"])
        delivered = 1 / (cols * chosen.filters) + 1 / self.window.out_cols + 1 / (cols * chosen.channels)
        return ACCESSES + NEIGHBOUR * delivered

    @property
    def compute_cycles(self) -> int:
        """The cycles of the array."""
        return self._compute_cycles(self.assignment)

    @property
    def moves(self) -> float:
        """The energy of moving the numbers of a multiply-add, in units of its arithmetic."""
        return self._moves(self.assignment)

    @cached_property
    def sram_bits(self) -> dict[str, int]:
        """The bits that the array reads from and writes to the buffer of each operand."""
        return self._sram_bits(self.assignment)

    @cached_property
    def dram_bits(self) -> dict[str, int]:
        """The bits that move between each buffer and the memory outside."""
        return self._dram_bits(self.assignment)
