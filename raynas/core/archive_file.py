"""ArchiveFile: the lines of an archive on disk, locked while they are written, each checked when it is read."""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from raynas.core.archive_schema import EVENT, MAX_ARCHIVE_BYTES
from raynas.core.measurement import as_plain, from_plain, with_provenance
from raynas.errors import ArchiveError, BusyError, ContentError, OutsideError
from raynas.files.content import check_file, decode_json, read_file
from raynas.files.inside import inside

Record = dict[str, Any]

_METRICS = ("baseline", "costs", "metrics")
"""Fields of records that hold metrics."""

_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV))
"""Errors of a file whose folder is no longer there."""

_POLL_SECONDS = 0.02
"""Time between two attempts to get a lock."""


class ArchiveFile:
    """The file of an archive, which no other process can write until it is closed.

    Args:
        path: the file; it is created if missing. A half-written last line, which a kill can leave, is cut off.
        wait_seconds: time to wait for another process that holds the file.
        n_read: number of bytes that are known already.

    Raises:
        ArchiveError: if it cannot be read or written, or has fewer bytes than were known.
        BusyError: if another process holds it for longer.
    """

    def __init__(self, path: Path, wait_seconds: float = 0.0, n_read: int = 0) -> None:
        self.path, self.n_read = path, n_read
        self._file: FileIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                inside(path.parent, path.name)
            if path.exists():
                check_file(path, MAX_ARCHIVE_BYTES)
            self._file = path.open("ab+", buffering=0)
            lock_file(self._file, path, wait_seconds)
            self._content = read_file(path, MAX_ARCHIVE_BYTES)
            self._n_whole = self._content.rfind(b"\n") + 1
            if self._n_whole < n_read:
                raise ArchiveError(f"{path} has lost lines since it was read: begin again")
        except OSError as error:
            self.close()
            raise ArchiveError(f"cannot write the archive {path}: {error.strerror}; choose another folder") from None
        except (ContentError, OutsideError) as error:
            self.close()
            raise ArchiveError(f"cannot use the archive {path}: {error}; choose another folder") from None
        except BaseException:
            self.close()
            raise

    def read(self) -> list[Record]:
        """Return the records that are not known yet, and cut off a half-written line.

        Raises:
            ArchiveError: if a line is damaged.
        """
        known, whole, self._content = self.n_read, self._n_whole, self._content[: self._n_whole]
        records = parse_records(self._content[known:], self.path, self._content.count(b"\n", 0, known))
        assert self._file is not None
        self._file.truncate(whole)
        self.n_read, self._content = whole, b""
        return records

    def write(self, record: Record, *, sync: bool) -> None:
        """Append a record; nothing of it is left if this fails.

        Args:
            record: the record.
            sync: whether it must outlive a machine that goes down.

        Raises:
            OSError: if it cannot be written, or the file is no longer there.
        """
        assert self._file is not None
        # A name of a file that is no UTF-8, in an error, is the one text that JSON cannot give back.
        line = json.dumps(record, allow_nan=False, ensure_ascii=False).encode(errors="replace") + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            if not os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # as far as a full disk allows it
                self._file.truncate(end)
            raise
        self.n_read = end + len(line)

    def what_failed(self, error: OSError, lines: Iterable[str]) -> str:
        """Say what is wrong and what to do; write ``lines`` again to a folder that is gone."""
        path = self.path
        if error.errno not in _GONE:
            return f"cannot write the archive {path}: {error.strerror}; free some space"
        gone = f"the results folder {path.parent} was removed, renamed or unmounted"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.writelines(lines)
        except OSError:
            return f"{gone}; bring it back"
        return f"{gone}; its archive, without checkpoints, was written there again; see to that"

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._file:
            self._file.close()
            self._file = None


def read_records(path: Path) -> list[Record]:
    """Return the records in a file, which is not locked; a half-written last line does not count.

    Raises:
        ArchiveError: if it is missing or damaged before its last line.
    """
    try:
        content = read_file(path, MAX_ARCHIVE_BYTES)
    except OSError as error:
        raise ArchiveError(f"cannot read the archive {path}: {error.strerror}") from None
    except ContentError as error:
        raise ArchiveError(f"cannot read the archive {path}: {error}") from None
    return parse_records(content[: content.rfind(b"\n") + 1], path)


def provenance_in(fields: Mapping[str, Any]) -> Record:
    """Return the provenance of the metrics in a record as a further field, if they have any."""
    found = {name: about for field in _METRICS if field in fields for name, about in as_plain(fields[field]).items()}
    return {"provenance": found} if found else {}


def _with_provenance(record: Record) -> Record:
    """Let the metrics in a record that was read remember their provenance."""
    if "provenance" in record:
        provenance = from_plain(record["provenance"])
        record |= {field: with_provenance(record[field], provenance) for field in _METRICS if field in record}
    return record


def parse_records(content: bytes, path: object, n_before: int = 0) -> list[Record]:
    """Return the records in whole lines.

    Args:
        content: the lines.
        path: says in an error where they are.
        n_before: number of lines before them.

    Raises:
        ArchiveError: if one is damaged.
    """
    records = []
    for number, line in enumerate(content.splitlines(), n_before + 1):
        try:
            records.append(_with_provenance(decode_json(line, EVENT)))
        except ContentError as error:
            raise ArchiveError(
                f"{path}, line {number} is damaged; repair or remove that line and run again ({error})"
            ) from None
    return records


def lock_file(file: FileIO, path: Path, wait_seconds: float = 0.0) -> None:
    """Lock a file against other processes until it is closed.

    Raises:
        BusyError: if another process holds it for longer than ``wait_seconds``.
    """
    try:
        import fcntl
    except ImportError:  # Windows opens files exclusively enough
        return
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise BusyError(f"another search is writing {path}; wait for it, or choose another name") from None
            time.sleep(_POLL_SECONDS)
