"""The errors that a caller of raynas would catch; each message says what is wrong, where, and what to do."""

import os
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class RaynasError(Exception):
    """Base class of every error that raynas raises on purpose."""


class SettingError(RaynasError, ValueError):
    """An argument or a setting has a value that it cannot have."""


class SpaceError(RaynasError, ValueError):
    """A search space, an architecture or a model with choices is malformed."""


class InfeasibleError(RaynasError, ValueError):
    """No architecture that meets the constraints was found within a bounded number of tries."""


class ContentError(RaynasError, ValueError):
    """The content of a file is not what such a file holds; who reads it adds the path and the remedy."""


class OutsideError(RaynasError, ValueError):
    """A path that a file gave, or a link, leads out of the results folder."""


class ArchiveError(RaynasError):
    """An archive cannot be read or written, or belongs to another search."""


class BusyError(ArchiveError):
    """Another process holds an archive."""


class StorageError(RaynasError):
    """A storage beyond this machine cannot be read or written, though it was tried again for a while."""


class DataError(RaynasError, ValueError):
    """A data set is missing, empty or malformed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known one that is nearest to it, or ""."""
    candidates = list(known)
    lower = {candidate.lower(): candidate for candidate in candidates}
    close = get_close_matches(name, candidates, n=1) or get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower.get(close[0].lower(), close[0])!r}?" if close else ""


class UnknownNameError(RaynasError, ValueError):
    """A name is not in the table it was looked up in."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Word the message: ``kind`` says what was looked up, ``known`` what would have been found."""
        known = sorted(known)
        hint = did_you_mean(name, known) or "."
        super().__init__(f"unknown {kind} {name!r}{hint} Known: {', '.join(known) or 'none'}.")


class UnreportedMetricError(RaynasError, ValueError):
    """A metric is asked for that no trial reports and that nothing measures."""

    def __init__(self, name: str, reported: Iterable[str], measurable: Iterable[str] = ()) -> None:
        """Word the message: ``reported`` and ``measurable`` name the metrics that there are."""
        known, others = sorted(reported), sorted(measurable)
        hint = did_you_mean(name, [*known, *others]) or "."
        besides = f" What can be measured is {', '.join(others)}." if others else ""
        super().__init__(
            f"metric {name!r} is wanted, but what was reported is {', '.join(known) or 'nothing'}{hint}{besides}"
        )


def one_line(error: BaseException) -> str:
    """Return an exception as one line for tables and logs."""
    if isinstance(error, RaynasError):
        return " ".join(str(error).split())
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def code_of(error: BaseException) -> str:
    """Return the line of ``user_frame`` as " (forward in net.py, line 7: return x + y)"; empty if there is none."""
    frame = user_frame(error)
    return f" ({frame.name} in {Path(frame.filename).name}, line {frame.lineno}: {frame.line})" if frame else ""


def user_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost frame of the user's code in a traceback; None if there is none.

    Code of installed packages and raynas is passed over.
    """
    packages = [f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages", "torch")]
    libraries = (*packages, str(Path(__file__).parent) + os.sep, "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not any(part in f.filename for part in libraries)]
    return frames[-1] if frames else None
