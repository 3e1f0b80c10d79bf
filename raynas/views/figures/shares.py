"""The figure of the shares of options over time."""

from collections.abc import Sequence

from raynas.analysis import OptionShares
from raynas.views.figures.option_rows import option_rows
from raynas.views.figures.style import Figure


def shares_figure(shares: Sequence[OptionShares]) -> Figure:
    """Draw a row for each option of each decision, and a column for each window of trials; darker is more frequent.

    Args:
        shares: of decisions, at least one, all in the same windows.
    """
    columns = [str(w.first) if w.first == w.last else f"{w.first}–{w.last}" for w in shares[0].windows]
    return option_rows([(s.decision, s.options, s.shares) for s in shares], columns, "trials", ".0%")
