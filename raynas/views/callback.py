"""The callback by which Tune keeps a view of a search up to date."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.utils import flatten_dict

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.errors import one_line

logger = logging.getLogger(__name__)


class View(Protocol):
    """Shows a search from the records of its archive, which is the same at each call."""

    def update(self, archive: Archive, goal: Goal) -> None:
        """Read the records that were added, and show them if that is due."""

    def close(self, archive: Archive, goal: Goal) -> None:
        """Show all that is left, and release terminal or files."""


class Source(Protocol):
    """Has the records of a search: a searcher of raynas's, or ``RecordedTrials``."""

    @property
    def archive(self) -> Archive:
        """The records."""

    @property
    def goal(self) -> Goal:
        """Ranks the evaluations."""


class Recorder(Source, Protocol):
    """Makes the records itself, of what Tune tells of its trials."""

    def begin(self, trial: str, config: Mapping[str, Any]) -> None:
        """Record that a trial runs."""

    def report(self, trial: str, result: Mapping[str, Any]) -> None:
        """Record a flat result."""

    def end(self, trial: str, result: Mapping[str, Any], *, error: bool) -> None:
        """Record the end of a trial."""

    def close(self) -> None:
        """Release the file."""


class ViewCallback(Callback):
    """Keeps a view up to date while Tune runs a search; no error of the view ever reaches Tune.

    Args:
        source: the search to show.
        view: shows it; or a function that returns the view, from the archive as it is when the run begins.
        complaint: the warning at the first error, which follows it.
        recorder: the source, if it makes the records of what Tune tells.
    """

    def __init__(
        self,
        source: Source,
        view: View | Callable[[Archive], View],
        complaint: str,
        *,
        recorder: Recorder | None = None,
    ) -> None:
        self._source, self._complaint, self._recorder = source, complaint, recorder
        self._view: View | None = None if callable(view) else view
        self._open_view = view if callable(view) else lambda archive: view
        self._warned = False

    def on_step_begin(self, iteration: int, trials: Sequence[object], **info: object) -> None:
        """Open the view: not before, as Tune may first restore the searcher."""
        if self._view is None:
            self._guard(self._open)

    def on_step_end(self, iteration: int, trials: Sequence[object], **info: object) -> None:
        """Update the view."""
        self._guard(self._update)

    def on_experiment_end(self, trials: Sequence[object], **info: object) -> None:
        """Close the view."""
        self._guard(self._close)

    def on_trial_start(self, iteration: int, trials: Sequence[object], trial: Any, **info: object) -> None:
        """Record that a trial runs."""
        if recorder := self._recorder:
            self._guard(lambda: recorder.begin(trial.trial_id, trial.config))

    def on_trial_result(
        self, iteration: int, trials: Sequence[object], trial: Any, result: dict[str, Any], **info: object
    ) -> None:
        """Record a report."""
        if recorder := self._recorder:
            self._guard(lambda: recorder.report(trial.trial_id, flatten_dict(result)))

    def on_trial_complete(self, iteration: int, trials: Sequence[object], trial: Any, **info: object) -> None:
        """Record the end of a trial."""
        self._end(trial, error=False)

    def on_trial_error(self, iteration: int, trials: Sequence[object], trial: Any, **info: object) -> None:
        """Record the failure of a trial."""
        self._end(trial, error=True)

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles callbacks; a copy elsewhere has no terminal, and must not write to the same files.
        return Callback, ()

    def _end(self, trial: Any, *, error: bool) -> None:
        if recorder := self._recorder:
            self._guard(lambda: recorder.end(trial.trial_id, flatten_dict(trial.last_result or {}), error=error))

    def _open(self) -> View:
        if self._view is None:
            self._view = self._open_view(self._source.archive)
        return self._view

    def _update(self) -> None:
        self._open().update(self._source.archive, self._source.goal)

    def _close(self) -> None:
        try:
            self._open().close(self._source.archive, self._source.goal)
        finally:
            if self._recorder:
                self._recorder.close()

    def _guard(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # an exception in a callback would end the search
            if not self._warned:
                logger.warning("%s: %s", self._complaint, one_line(error))
            self._warned = True
