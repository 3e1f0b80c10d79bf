"""Archive: the events of a search, in one append-only file.

The archive is the truth: a searcher and a scheduler are rebuilt by replaying it, so resume, extension, warm start and
report are all readings of the same lines. Each line is one JSON object with an ``event``:

==========  ==================================================================================================
session     a driver started: space, objectives, constraints, strategy, seed, code and data of the trainable; with
            ``warm_start`` it counts nothing of what was before
proposed    a trial got its config (with costs measured before it)
scored      a strategy computed zero-cost scores of an architecture, which has no trial yet
refused     an architecture broke a hard constraint before any training
repaired    a proposal that was refused, or an earlier one, was changed to meet the constraints
duplicate   an architecture was proposed again and answered from here
waited      the strategy had nothing to propose until a running trial ends
result      a trial reported after some training
lost        a trial lost its process without failing, and is tried again from its last checkpoint
ended       a trial ended: status, last metrics, fidelity, error
measured    the architecture of a trial, among the best at the end of a search, was measured again, or could not be
repeated    the architecture of a trial, among the best at the end of a search, was trained with another seed, or failed
retried     a trial begins again from the start: what it reported before does not count
==========  ==================================================================================================

Beside metrics is their provenance, for those that have one (not in each report, only where a trial begins and ends).
What each must hold is in ``archive_schema``: an archive may come from anybody, and nothing in it is taken on trust.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.archive_schema import EVENT, MAX_ARCHIVE_BYTES
from raynas.core.evaluation import Evaluation
from raynas.core.measurement import as_plain, from_plain, with_provenance
from raynas.errors import ArchiveError, ContentError, OutsideError
from raynas.files.content import check_file, decode_json, read_file
from raynas.files.inside import inside

Record = dict[str, Any]

_SYNCED = frozenset(("session", "result", "ended", "measured", "repeated"))
# The others cost no training to make again, and every line outlives a kill of the driver as soon as it is written;
# a sync is for a machine that goes down.


_METRICS = ("baseline", "costs", "metrics")
"""Fields of records that hold metrics."""

_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV))
"""Errors of a file whose folder is no longer there."""


class Archive:
    """The records of a search, in memory and, if a path is given, on disk before ``append`` returns.

    Args:
        path: the file; it is created if missing and continued if present. A half-written last line, which a kill can
            leave, is dropped. None keeps the records in memory only.

    Raises:
        ArchiveError: if the file cannot be read or written, is damaged before its last line, or is held by another
            process.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path else None
        self.failure: ArchiveError | None = None
        self._records: list[Record] = []
        self._earlier: list[Record] = []
        self._file: FileIO | None = None
        if self.path:
            try:
                self._open(self.path)
            except BaseException:
                self.close()
                raise

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                inside(path.parent, path.name)
            if path.exists():
                check_file(path, MAX_ARCHIVE_BYTES)
            self._file = path.open("ab+", buffering=0)
            _lock(self._file, path)
            content = read_file(path, MAX_ARCHIVE_BYTES)
            whole = content.rfind(b"\n") + 1
            self._take(_parse(content[:whole], path))
            self._file.truncate(whole)
        except OSError as error:
            raise ArchiveError(f"cannot write the archive {path}: {error.strerror}; choose another folder") from None
        except (ContentError, OutsideError) as error:
            raise ArchiveError(f"cannot use the archive {path}: {error}; choose another folder") from None

    def _take(self, records: list[Record]) -> None:
        """Keep what counts, apart from what a later session only learns from."""
        starts = [n for n, record in enumerate(records) if record["event"] == "session" and record.get("warm_start")]
        start = starts[-1] if starts else 0
        self._earlier, self._records = _latest_attempts(records[:start]), _latest_attempts(records[start:])

    def append(self, event: str, **fields: object) -> None:
        """Add a record; it is on disk when this returns.

        Raises:
            ArchiveError: if it cannot be written (a full disk, a folder that is gone); what was written before stays
                readable. From then on nothing is written any more: events after a gap could not be replayed.
        """
        if self.failure:
            raise self.failure
        record = {"event": event, **fields, **({} if event == "result" else _provenance(fields))}
        if self._file:
            # A name of a file that is no UTF-8, in an error, is the one text that JSON cannot give back.
            line = json.dumps(record, allow_nan=False, ensure_ascii=False).encode(errors="replace")
            self._write(line + b"\n", sync=event in _SYNCED)
        self._records.append(record)

    def retry(self, trials: Iterable[str]) -> None:
        """Let trials begin again: they are unfinished, and what they reported and how they ended counts no more."""
        for trial in trials:
            self.append("retried", trial=trial)
        self._records = _latest_attempts(self._records)

    def restart(self, **session: object) -> None:
        """Record a session that counts nothing of what was before, which ``earlier_evaluations`` still gives."""
        self.append("session", **session, warm_start=True)
        self._take([*self._earlier, *self._records])

    def _write(self, line: bytes, sync: bool) -> None:
        assert self._file is not None and self.path is not None
        end = self._file.seek(0, os.SEEK_END)
        try:
            if not os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            _undo(self._file, end)
            self.failure = ArchiveError(
                f"{self._what_failed(self.path, error)} and run the same command again: everything before this is kept"
            )
            raise self.failure from None

    def _what_failed(self, path: Path, error: OSError) -> str:
        """Say what is wrong and what to do; write the records again to a folder that is gone."""
        if error.errno not in _GONE:
            return f"cannot write the archive {path}: {error.strerror}; free some space"
        gone = f"the results folder {path.parent} was removed, renamed or unmounted"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.writelines(self._lines())
        except OSError:
            return f"{gone}; bring it back"
        return f"{gone}; its archive, without checkpoints, was written there again; see to that"

    def close(self) -> None:
        """Let go of the file and its lock; the records stay readable in memory."""
        if self._file:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process must never write to the file.
        return {"path": None, "failure": None, "_records": self._records, "_earlier": self._earlier, "_file": None}

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def events(self, event: str) -> list[Record]:
        """Return all records of one kind, oldest first."""
        return [record for record in self._records if record["event"] == event]

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every trial that ended, in the order of their ends."""
        return _evaluations(self._records)

    @property
    def earlier_evaluations(self) -> list[Evaluation]:
        """Every trial that ended before the last session that counts nothing of what was before."""
        return _evaluations(self._earlier)

    def unfinished(self) -> dict[str, Record]:
        """Return the proposals of trials that have not ended, by trial."""
        proposed = {record["trial"]: record for record in self.events("proposed")}
        ended = {record["trial"] for record in self.events("ended")}
        return {trial: record for trial, record in proposed.items() if trial not in ended}

    @property
    def last_number(self) -> int:
        """The largest number that names a trial; 0 if there is none.

        The next trial gets the next one. The number of trials would not do: a line of the archive can have been lost,
        and no name may denote two trials.
        """
        names = {record.get("trial", "") for record in [*self._earlier, *self._records]}
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def dump(self, path: str | Path) -> None:
        """Write a copy of all records, as lines of JSON."""
        Path(path).write_text("".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        return (json.dumps(record) + "\n" for record in [*self._earlier, *self._records])

    @classmethod
    def load(cls, path: str | Path) -> "Archive":
        """Read a file that ``dump`` or ``append`` wrote, without holding it.

        Raises:
            ArchiveError: if it is missing or damaged before its last line.
        """
        archive = cls()
        try:
            content = read_file(Path(path), MAX_ARCHIVE_BYTES)
        except OSError as error:
            raise ArchiveError(f"cannot read the archive {path}: {error.strerror}") from None
        except ContentError as error:
            raise ArchiveError(f"cannot read the archive {path}: {error}") from None
        archive._take(_parse(content[: content.rfind(b"\n") + 1], Path(path)))
        return archive


def _with_tuples(value: Any) -> Any:
    """Return what JSON holds as a list as the tuple that it was as an option."""
    if isinstance(value, dict):
        return {name: _with_tuples(part) for name, part in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def evaluation_of(ended: Record, config: Mapping[str, Any]) -> Evaluation:
    """Return the evaluation of an ``ended`` record and its trial's config."""
    return Evaluation(
        arch=Architecture(config["arch"]),
        metrics=ended["metrics"],
        fidelity=ended["fidelity"],
        status=ended["status"],
        trial=ended["trial"],
        error=ended["error"],
        notes=ended.get("notes", {}),
        hyperparameters={name: _with_tuples(value) for name, value in config.items() if name != "arch"},
    )


def _evaluations(records: Iterable[Record]) -> list[Evaluation]:
    configs: dict[str, Mapping[str, Any]] = {}
    found: dict[str, Evaluation] = {}
    for record in records:
        if record["event"] == "proposed":
            configs[record["trial"]] = record["config"]
        elif record["event"] == "ended" and record["trial"] in configs:
            found[record["trial"]] = evaluation_of(record, configs[record["trial"]])
        elif record["event"] == "measured" and record["trial"] in found:
            found[record["trial"]] = found[record["trial"]].measured_again(record["metrics"])
        elif record["event"] == "repeated" and record["trial"] in found and not record["error"]:
            found[record["trial"]] = found[record["trial"]].trained_again(record["metrics"])
    return list(found.values())


def _latest_attempts(records: list[Record]) -> list[Record]:
    """Drop reports and ends of trials that began again after them."""
    begun = {record["trial"]: n for n, record in enumerate(records) if record["event"] == "retried"}
    attempts = ("result", "lost", "ended", "measured", "repeated")
    return [r for n, r in enumerate(records) if r["event"] not in attempts or n > begun.get(r["trial"], -1)]


def _parse(content: bytes, path: Path) -> list[Record]:
    records = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            records.append(_with_provenance(decode_json(line, EVENT)))
        except ContentError as error:
            raise ArchiveError(
                f"{path}, line {number} is damaged; repair or remove that line and run again ({error})"
            ) from None
    return records


def _provenance(fields: Mapping[str, Any]) -> Record:
    """Return the provenance of the metrics in a record as a further field, if they have any."""
    found = {name: about for field in _METRICS if field in fields for name, about in as_plain(fields[field]).items()}
    return {"provenance": found} if found else {}


def _with_provenance(record: Record) -> Record:
    """Let the metrics in a record that was read remember their provenance."""
    if "provenance" in record:
        provenance = from_plain(record["provenance"])
        record |= {field: with_provenance(record[field], provenance) for field in _METRICS if field in record}
    return record


def _undo(file: FileIO, end: int) -> None:
    """Remove a half-written line, as far as a full disk allows it."""
    with contextlib.suppress(OSError):
        file.truncate(end)


def _lock(file: FileIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows opens files exclusively enough
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveError(f"another search is writing {path}; wait for it, or choose another name") from None
