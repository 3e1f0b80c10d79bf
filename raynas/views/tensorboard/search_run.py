"""The run of the whole search in TensorBoard: its scalars, fewer the more trials there are, and its pictures."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.summary_pb2 import Summary

from raynas.views.tensorboard.event_file import EventFile, event_files, scalars

EVERY_STEP = 1000
"""Number of trials up to which each has a point in every curve; later ones are a thousandth of their number apart.

TensorBoard itself shows a thousand points of a curve.
"""

_CURVES = "search/"


class SearchRun:
    """The run of the whole search; its steps are numbers of trials that have ended.

    An earlier session may have written a part of it. What is in its files is not written again, and steps only grow:
    where trials were taken back since, to be tried again, the steps of this session follow the last one there.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.file = EventFile(folder)
        self._written = _last_steps(folder)
        self._last = max((step for tag, step in self._written.items() if tag.startswith(_CURVES)), default=0)
        self._offset = 0
        self.is_new = not self._written
        """True if no earlier session wrote anything."""

    @property
    def is_empty(self) -> bool:
        """True if neither this session nor an earlier one has added any value that would be lost by a restart."""
        return not self._written

    def follow(self, n_before: int) -> None:
        """Let steps follow the last one written; called before the first trial that is new in this session.

        Args:
            n_before: number of trials that ended in earlier sessions.
        """
        self._offset = max(self._last - n_before, 0)

    def curve_is_due(self, n: int) -> bool:
        """Return whether the curves have no point for trial number ``n`` yet, and should."""
        step = n + self._offset
        return step > self._last and _is_apart(step, self._last)

    def add_curves(self, values: Mapping[str, float], n: int) -> None:
        """Add a point to the curves of the search, unless there is one.

        Args:
            values: by name.
            n: number of trials that have ended.
        """
        if n + self._offset > self._last:
            self._last = n + self._offset
            self.file.add(scalars({f"{_CURVES}{name}": value for name, value in values.items()}), self._last)

    def add(self, values: "list[Summary.Value]", n: int) -> None:
        """Add values of any kind, except those whose tags have some of this step or a later one.

        Args:
            values: pictures, texts or numbers.
            n: number of trials that have ended.
        """
        step = n + self._offset
        new = [value for value in values if self._written.get(value.tag, -1) < step]
        self._written.update({value.tag: step for value in new})
        if new:
            self.file.add(new, step)

    def add_curve(self, tag: str, values: Mapping[int, float]) -> None:
        """Add the points of a curve that are not there yet.

        Args:
            tag: of the curve.
            values: by the number of trials that had ended, in ascending order.
        """
        last = self._written.get(tag, -1)
        for n, value in values.items():
            step = n + self._offset
            if step > last and _is_apart(step, last):
                last = self._written[tag] = step
                self.file.add(scalars({tag: value}), step)

    def flush(self) -> None:
        """Append what was kept to the file."""
        self.file.flush()


def _is_apart(step: int, last: int) -> bool:
    return step <= EVERY_STEP or step >= last * (1 + 1 / EVERY_STEP)


def _last_steps(folder: Path) -> dict[str, int]:
    """Return the last step of each tag in the files of a run, as far as they can be read."""
    steps: dict[str, int] = defaultdict(int)
    for path in event_files(folder):
        try:
            for event in LegacyEventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    steps[value.tag] = max(steps[value.tag], event.step)
        except Exception:  # A file cut short, or none of TensorBoard's; what can be read of it counts.
            continue
    return dict(steps)
