"""Archive: the events of a search, in one append-only file.

The archive is the truth: a searcher and a scheduler are rebuilt by replaying it, so resume, extension, warm start and
report are all readings of the same lines. Each line is one JSON object with an ``event``:

==========  ==================================================================================================
session     a driver started: space, objectives, constraints, strategy, seed, code and data of the trainable; with
            ``warm_start`` it counts nothing of what was before
proposed    a trial got its config (with costs measured before it); with ``outside``, not from the strategy
imported    a strategy learns from an evaluation of another archive, which counts as no trial
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

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.archive_file import ArchiveFile, Record, provenance_in, read_records
from raynas.core.evaluation import Evaluation
from raynas.errors import ArchiveError

__all__ = ["Archive", "Record", "evaluation_of"]

_SYNCED = frozenset(("session", "result", "ended", "measured", "repeated"))
# The others cost no training to make again, and every line outlives a kill of the driver as soon as it is written;
# a sync is for a machine that goes down.


class Archive:
    """The records of a search, in memory and, if a path is given, on disk before ``append`` returns.

    Args:
        path: the file; it is created if missing and continued if present. A half-written last line, which a kill can
            leave, is dropped. None keeps the records in memory only.
        wait_seconds: time to wait for another process that holds the file.

    Raises:
        ArchiveError: if the file cannot be read or written, or is damaged before its last line.
        BusyError: if another process holds it for longer.
    """

    def __init__(self, path: str | Path | None = None, wait_seconds: float = 0.0) -> None:
        self.path = Path(path) if path else None
        self.failure: ArchiveError | None = None
        self._wait_seconds = wait_seconds
        self._records: list[Record] = []
        self._earlier: list[Record] = []
        self._n_read = 0
        self._file: ArchiveFile | None = None
        self.reopen()

    def reopen(self) -> None:
        """Hold the file again after ``close``, and read what other processes have written since.

        Raises:
            ArchiveError: as the constructor does, and if lines that were read are no longer there.
            BusyError: as the constructor does.
        """
        if self.path is None or self._file is not None:
            return
        self._file = ArchiveFile(self.path, self._wait_seconds, self._n_read)
        try:
            self._take([*self._earlier, *self._records, *self._file.read()])
        except BaseException:
            self.close()
            raise

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
        record = {"event": event, **fields, **({} if event == "result" else provenance_in(fields))}
        if self._file:
            self._write(record)
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

    def _write(self, record: Record) -> None:
        assert self._file is not None
        try:
            self._file.write(record, sync=record["event"] in _SYNCED)
        except OSError as error:
            what = self._file.what_failed(error, self._lines())
            kept = "everything before this is kept"
            self.failure = ArchiveError(f"{what} and run the same command again: {kept}")
            raise self.failure from None

    def close(self) -> None:
        """Let go of the file and its lock; the records stay readable in memory."""
        if self._file:
            self._n_read = self._file.n_read
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process must never write to the file.
        return {**self.__dict__, "path": None, "failure": None, "_file": None}

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
        archive._take(read_records(Path(path)))
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
