"""The protocol of a tracker: settings that open the runs of a search."""

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from raynas.errors import RaynasError
from raynas.views.trackers.tracked import Point, TrackedSearch, TrackedTrial

End = Literal["running", "finished", "interrupted"]


class Runs(Protocol):
    """The runs of a search in a tracker; each method may be called again with what is there already."""

    def write(self, trial: TrackedTrial) -> None:
        """Make the child run of a trial what the archive says, unless it is that already."""

    def progress(self, points: Sequence[Point]) -> None:
        """Add metrics of the whole search to the parent run, unless it has them; none may come twice in one order."""

    def close(self, end: End, files: Mapping[str, Path]) -> None:
        """Say how the search ended, attach files by their content, and release what is held."""


class Tracker(Protocol):
    """Settings of a tracker; a value that can be compared and printed."""

    @property
    def name(self) -> str:
        """The name on the command line."""

    @property
    def title(self) -> str:
        """The name of the product, for people."""

    def check(self) -> None:
        """Check, before a search begins, that the tracker can be used.

        Raises:
            RaynasError: if its package is missing; says what to install.
        """

    def open(self, search: TrackedSearch) -> Runs:
        """Open the parent run of a search, which is made if it is missing."""


def what_is_missing(tracker: Tracker, path: Path) -> str:
    """Return the start of a warning that runs lack something."""
    return f"the runs in {tracker.title} are incomplete; `raynas track {path} {tracker.name}` writes what is missing"


def key_of(name: str, max_length: int = 250) -> str:
    """Return the name of a metric or parameter in letters that every tracker takes: ``latency_ms@pi`` is _at_pi.

    Different names stay different: what is replaced or cut leaves a checksum.
    """
    named = name.replace("@", "_at_")
    key = re.sub(r"[^\w./ -]", "_", named, flags=re.ASCII)
    key = re.sub(r"^[/.]+|(?<=/)[/.]+|/+$", "_", key)  # MLflow wants the name of a path that leads nowhere else
    if key == named and 0 < len(key) <= max_length:
        return key
    return f"{key[: max_length - 9]}-{zlib.crc32(name.encode(errors='replace')):08x}"


def shortened(text: object, max_length: int = 500) -> str:
    """Return a text that is no longer than what every tracker takes."""
    whole = str(text)
    return whole if len(whole) <= max_length else f"{whole[: max_length - 1]}…"


def needs(package: str, extra: str, error: ImportError) -> RaynasError:
    """Return the error for a package that is missing or broken."""
    return RaynasError(f'{package} cannot be imported ({error}): pip install "raynas[{extra}]"')
