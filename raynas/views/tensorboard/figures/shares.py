"""Shares of the options of each decision over time, as heat maps of decisions that belong together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raynas.analysis import OptionShares
from raynas.views.tensorboard.figures.heat_map import HeatMap, heat_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_ROWS = 16
"""Number of options in a picture, beyond which the next decision begins another one."""

MAX_PICTURES = 12
"""Number of pictures; of spaces with still more decisions, the first are shown."""


def shares_figures(shares: Sequence[OptionShares]) -> "dict[str, Figure]":
    """Return a picture for each group of decisions with the same prefix, or a part of it, by a name.

    Decisions that were never active are left out.
    """
    parts = _parts([each for each in shares if any(map(any, each.shares))])[:MAX_PICTURES]
    return {_name(part): heat_map(_table(part)) for part in parts}


def _parts(shares: Sequence[OptionShares]) -> "list[list[OptionShares]]":
    parts: list[list[OptionShares]] = []
    rows = 0
    for each in shares:
        same = parts and _prefix(parts[-1][0]) == _prefix(each)
        if not same or rows + len(each.options) > MAX_ROWS:
            parts.append([])
            rows = 0
        parts[-1].append(each)
        rows += len(each.options)
    return parts


def _prefix(shares: OptionShares) -> str:
    return shares.decision.rpartition(".")[0]


def _name(part: Sequence[OptionShares]) -> str:
    first, last = part[0].decision, part[-1].decision
    if first == last:
        return first
    prefix = _prefix(part[0])
    return f"{first} to {last.removeprefix(f'{prefix}.') if prefix else last}"


def _table(part: Sequence[OptionShares]) -> HeatMap:
    windows = part[0].windows
    breaks, n = list[int](), 0
    for each in part:
        breaks.append(n)
        n += len(each.options)
    return HeatMap(
        title=f"{_prefix(part[0]) or 'decisions'}: share of options, in %",
        rows=[f"{each.decision.rpartition('.')[2]} {option}" for each in part for option in each.options],
        columns=[f"{window.last}" for window in windows],
        values=[[row[i] for row in each.shares] for each in part for i in range(len(each.options))],
        breaks=breaks[1:],
        across="trials up to",
    )
