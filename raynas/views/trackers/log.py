"""Keeping the runs of a tracker like the archive: while Tune runs a search, at its end, and at any later time."""

import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.result import SearchResult
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import ContentError, RaynasError
from raynas.files.content import read_file
from raynas.files.replacing import write_whole
from raynas.views.callback import ViewCallback
from raynas.views.trackers.tracked import TrackedSearch, TrackedTrials, facts_of
from raynas.views.trackers.tracker import End, Runs, Tracker, what_is_missing

ID_FILE = "tracking-id.txt"
"""Name of the file in a search's folder that gives its runs their names."""

WRITE_SECONDS = 5.0
"""Period of writing; writing takes a tenth of the time at most."""

_ATTACHED = ("report.html", "report.md", "summary.txt", "summary.json", "best/architecture.json")


class TrackerCallback(ViewCallback):
    """Keeps the runs of a tracker up to date while Tune runs a search, also one in a ``tune.Tuner`` of yours.

    An error costs a warning, never the search; ``track`` writes later what is missing.

    Args:
        searcher: the search.
        path: the search's folder; the file that names its runs is there.
        tracker: its settings.
    """

    def __init__(self, searcher: ArchitectureSearcher, path: str | Path, tracker: Tracker) -> None:
        super().__init__(searcher, TrackerLog(Path(path), tracker), what_is_missing(tracker, Path(path)))


class TrackerLog:
    """Writes what an archive has and a tracker lacks.

    Args:
        path: the search's folder.
        tracker: its settings.
    """

    def __init__(self, path: Path, tracker: Tracker) -> None:
        self._path, self._tracker = path, tracker
        self._trials = TrackedTrials()
        self._runs: Runs | None = None
        self._due = time.monotonic() + WRITE_SECONDS

    def update(self, archive: Archive, goal: Goal) -> None:
        """Write if it is time."""
        now = time.monotonic()
        if now >= self._due:
            self._write(archive, goal)
            end = time.monotonic()
            self._due = end + max(WRITE_SECONDS, 9 * (end - now))

    def close(self, archive: Archive, goal: Goal) -> None:
        """Write all that is left; the search continues with its report."""
        self.finish(archive, goal, "running", {})

    def finish(self, archive: Archive, goal: Goal, end: End, files: Mapping[str, Path]) -> None:
        """Write all that is left, and say how the search ended."""
        self._write(archive, goal)
        runs, self._runs = self._opened(archive), None
        runs.close(end, files)

    def _write(self, archive: Archive, goal: Goal) -> None:
        runs = self._opened(archive)
        for trial, progress in self._trials.read(archive, goal):
            runs.write(trial)
            runs.progress(progress)

    def _opened(self, archive: Archive) -> Runs:
        if self._runs is None:
            self._runs = self._tracker.open(
                TrackedSearch(id=_id_in(self._path), path=self._path, params=facts_of(archive))
            )
        return self._runs


def track(result: SearchResult, tracker: Tracker) -> None:
    """Write a search to a tracker, or what of it is missing there.

    Args:
        result: of a search, finished or not.
        tracker: the settings of a tracker, such as ``MLflow()``.

    Raises:
        RaynasError: if the tracker cannot be used.
    """
    path = Path(result.path)
    files = {name: path / name for name in _ATTACHED if (path / name).is_file()}
    end: End = "interrupted" if result.interrupted else "finished"
    TrackerLog(path, tracker).finish(result.archive, result.goal, end, files)


def _id_in(path: Path) -> str:
    """Return the id of the search in a folder, made and stored at the first call."""
    file = path / ID_FILE
    try:
        text = read_file(file, 64).decode(errors="replace").strip()
    except FileNotFoundError:
        text = secrets.token_hex(8)  # not of the search's generators: no proposal may depend on it
        write_whole(file, f"{text}\n")
    except (ContentError, OSError) as error:
        raise RaynasError(f"cannot read {file}: {error}") from None
    if not re.fullmatch("[0-9a-f]{16}", text):
        raise RaynasError(
            f"{file} must hold 16 hexadecimal digits; remove it, and all runs are written again"
        ) from None
    return text
