"""Shares of the options of each decision during a search: the options that a strategy comes to prefer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from raynas.analysis.columns import columns_of, row_of
from raynas.analysis.windows import Window, windows
from raynas.core.architecture import Option
from raynas.core.evaluation import Evaluation
from raynas.core.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class OptionShares:
    """Shares of the options of a decision in each window of trials.

    Args:
        decision: its name.
        options: in order.
        windows: of trials, in the order of their ends.
        shares: ``(n_windows, n_options)``, in [0, 1]; what a row lacks to 1 is the share of architectures in which the
            decision is not active.
    """

    decision: str
    options: tuple[Option, ...]
    windows: tuple[Window, ...]
    shares: tuple[tuple[float, ...], ...]


def option_shares(
    evaluations: Sequence[Evaluation], space: SearchSpace | None = None, *, generation_size: int = 0
) -> list[OptionShares]:
    """Count the options of every decision with finitely many.

    Args:
        evaluations: of the search, in the order of their ends.
        space: see ``columns_of``.
        generation_size: see ``windows``.
    """
    parts = windows(len(evaluations), generation_size)
    rows = [row_of(e) for e in evaluations]
    found = []
    for column in columns_of(evaluations, space):
        if column.options:
            counts = [Counter(row.get(column.name, _Inactive) for row in rows[w.first - 1 : w.last]) for w in parts]
            shares = tuple(
                tuple(count[option] / (w.last - w.first + 1) for option in column.options)
                for count, w in zip(counts, parts, strict=True)
            )
            found.append(
                OptionShares(decision=column.name, options=column.options, windows=tuple(parts), shares=shares)
            )
    return found


class _Inactive:
    """The absence of an option."""
