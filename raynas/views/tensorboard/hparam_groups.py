"""Columns of the HParams page that hold several decisions each.

The page lists its columns by name, and shows the first five until others are ticked, each 16 letters wide. So where
there are more decisions, columns for those with a common prefix come first, with nothing but their options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raynas.core.architecture import Option
from raynas.core.decision import Decision

MAX_COLUMNS = 5
"""Number of columns that the page shows at first."""

_ABSENT = "–"


@dataclass(frozen=True)
class Group:
    """A column.

    Args:
        title: of the column.
        names: of its decisions.
    """

    title: str
    names: Sequence[str]

    def text(self, options: Mapping[str, Option]) -> str:
        """Return the options of the decisions that are active, in order."""
        return " ".join(str(options[name]) for name in self.names if name in options) or _ABSENT


def groups_of(decisions: Sequence[Decision], own: Sequence[Decision] = ()) -> list[Group]:
    """Return a group for each prefix; none if every decision can have a column that is shown.

    Args:
        decisions: of the architectures.
        own: hyperparameters that are searched too, which have a column each as it is.
    """
    if len(decisions) + len(own) <= MAX_COLUMNS:
        return []
    by_prefix: dict[str, list[str]] = {}
    for decision in decisions:
        by_prefix.setdefault(decision.name.rpartition(".")[0], []).append(decision.name)
    width = len(str(len(by_prefix)))
    # Digits first, so that the page's order by name is this one.
    return [
        Group(f"({i:0{width}}) {prefix or ', '.join(names[:2])}", names)
        for i, (prefix, names) in enumerate(by_prefix.items(), 1)
    ]
