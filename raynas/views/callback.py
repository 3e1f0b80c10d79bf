"""The callback by which Tune keeps a view of a search up to date."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from ray.tune import Callback

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import one_line

logger = logging.getLogger(__name__)


class View(Protocol):
    """Shows a search from the records of its archive, which is the same at each call."""

    def update(self, archive: Archive, goal: Goal) -> None:
        """Read the records that were added, and show them if that is due."""

    def close(self, archive: Archive, goal: Goal) -> None:
        """Show all that is left, and release terminal or files."""


class ViewCallback(Callback):
    """Keeps a view up to date while Tune runs a search; no error of the view ever reaches Tune.

    Args:
        searcher: the search to show.
        view: shows it.
        complaint: the warning at the first error, which follows it.
    """

    def __init__(self, searcher: ArchitectureSearcher, view: View, complaint: str) -> None:
        self._searcher, self._view, self._complaint = searcher, view, complaint
        self._warned = False

    def on_step_end(self, iteration: int, trials: Sequence[object], **info: object) -> None:
        """Update the view."""
        self._guard(self._view.update)

    def on_experiment_end(self, trials: Sequence[object], **info: object) -> None:
        """Close the view."""
        self._guard(self._view.close)

    def __reduce__(self) -> tuple[type[Callback], tuple[()]]:
        # Tune pickles callbacks; a copy elsewhere has no terminal, and must not write to the same files.
        return Callback, ()

    def _guard(self, act: Callable[[Archive, Goal], None]) -> None:
        try:
            act(self._searcher.archive, self._searcher.goal)
        except Exception as error:  # an exception in a callback would end the search
            if not self._warned:
                logger.warning("%s: %s", self._complaint, one_line(error))
            self._warned = True
