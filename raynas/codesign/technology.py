"""Energies and areas of arithmetic and memories at 45 nm and 0.9 V, as published.

Energies: Horowitz, "Computing's energy problem" (ISSCC 2014). Areas of arithmetic: Sze et al., "Efficient Processing of
Deep Neural Networks" (Proceedings of the IEEE 2017, arXiv:1703.09039), beside the same energies. Area of a cell of
SRAM: Mistry et al., "A 45nm logic technology" (IEDM 2007). Energies of moving a number between processing elements:
Chen et al., "Eyeriss" (ISCA 2016). Between two published widths or sizes a value is on the straight line through them
on logarithmic scales, outside of them on its continuation.
"""

import math
from collections.abc import Mapping

MULTIPLY_PJ: Mapping[float, float] = {8: 0.2, 32: 3.1}
"""Energy of a multiplication of whole numbers, by bits."""

ADD_PJ: Mapping[float, float] = {8: 0.03, 16: 0.05, 32: 0.1}
"""Energy of an addition of whole numbers, by bits."""

SRAM_PJ: Mapping[float, float] = {8: 10.0, 32: 20.0, 1024: 100.0}
"""Energy of an access to 64 bits of SRAM, by its kB."""

DRAM_PJ = 1300.0
"""Energy of an access to 64 bits of DRAM: the lower end of the published 1.3 to 2.6 nJ."""

MULTIPLY_UM2: Mapping[float, float] = {8: 282.0, 32: 3495.0}
"""Area of a multiplier of whole numbers, by bits."""

ADD_UM2: Mapping[float, float] = {8: 36.0, 16: 67.0, 32: 137.0}
"""Area of an adder of whole numbers, by bits."""

SRAM_CELL_UM2 = 0.346
"""Area of a bit of SRAM."""

WORD = 64
"""Bits of an access to a memory."""

SUM_BITS = 32
"""Bits of a partial sum."""

NEIGHBOUR = 2
"""Energy of a number from a neighbour, in units of the arithmetic of a multiply-add; one from a register costs 1."""

MOVES = 1 + 2 * NEIGHBOUR
"""Energy of moving the numbers of a multiply-add through a systolic array, in these units: the stationary one is read
from a register, the two others come from a neighbour."""


def interpolated(published: Mapping[float, float], at: float) -> float:
    """Return a value between published ones, a straight line on logarithmic scales.

    Args:
        published: at least two values by width or size, in rising order; all above 0.
        at: the width or size, above 0.
    """
    known = list(published)
    i = min(max(sum(size <= at for size in known) - 1, 0), len(known) - 2)
    low, high = known[i], known[i + 1]
    slope = math.log(published[high] / published[low]) / math.log(high / low)
    return published[low] * math.exp(slope * math.log(at / low))


def multiply_add_pj(bits: int) -> float:
    """Return the energy of a multiply-add of whole numbers, without the moves of its numbers."""
    return interpolated(MULTIPLY_PJ, bits) + interpolated(ADD_PJ, SUM_BITS)


def multiply_add_um2(bits: int) -> float:
    """Return the area of the multiplier and the adder of a processing element."""
    return interpolated(MULTIPLY_UM2, bits) + interpolated(ADD_UM2, SUM_BITS)


def sram_pj_per_bit(kb: float) -> float:
    """Return the energy of an access to a bit of a buffer of some kB."""
    return interpolated(SRAM_PJ, kb) / WORD


def dram_pj_per_bit() -> float:
    """Return the energy of an access to a bit of DRAM."""
    return DRAM_PJ / WORD
