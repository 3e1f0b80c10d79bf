"""merge_archives(): the evaluations of several archives of one search in a new one, with which it can be continued."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.core.archive import Archive, Record
from raynas.errors import ArchiveError, RaynasError
from raynas.files.content import read_file
from raynas.files.replacing import write_whole
from raynas.run.file_names import ARCHIVE, OPTIONS

_SAME = ("space", "objectives", "constraints")
"""Facts of a session without which evaluations cannot be compared."""

_SCORED = ("trainable", "code", "data")
"""Facts of a session that say how trials scored."""


@dataclass(frozen=True)
class Merged:
    """A new archive.

    Args:
        path: its file.
        n_evaluations: number of evaluations in it.
        n_dropped: number of those that were left out since another has the same architecture.
    """

    path: Path
    n_evaluations: int
    n_dropped: int


def merge_archives(folders: Sequence[str | Path], output: str | Path, *, mixed: bool = False) -> Merged:
    """Write the trials that ended, and the refusals, of several archives to a new one, the first archive's first.

    Trials are numbered again. Of several evaluations of one architecture with its hyperparameters the one after the
    most training is kept, of equals the first: their best would be better than the architecture is, and their mean is
    nothing that was measured. ``raynas.search`` and ``Study`` continue the new archive with a larger ``num_samples``.
    Weights stay in the folders of the trials.

    Args:
        folders: of the searches, at least two.
        output: the new folder.
        mixed: merge even if trials were scored in another way: by other settings, code or data.

    Raises:
        ArchiveError: if an archive cannot be read, is of another search than the first, or the new one exists.
    """
    if len(folders) < 2:
        raise RaynasError(f"give at least two archives to merge, got {len(folders)}")
    files = [folder if folder.name == ARCHIVE else folder / ARCHIVE for folder in map(Path, folders)]
    archives = [Archive.load(file) for file in files]
    sessions = [_last_session(archive, file) for archive, file in zip(archives, files, strict=True)]
    for session, file in zip(sessions[1:], files[1:], strict=True):
        _check_same(sessions[0], session, files[0], file, mixed=mixed)
    target = Path(output).expanduser() / ARCHIVE
    if target.exists():
        raise ArchiveError(f"{target} exists; name another folder")
    kept, n_dropped = _kept(archives)
    made = Archive(target)
    try:
        facts = {
            name: value for name, value in sessions[0].items() if name not in ("event", "provenance", "warm_start")
        }
        made.append("session", **{**facts, "num_samples": max(len(kept), 1)})
        for event, fields in _numbered(kept, archives):
            made.append(event, **fields)
    finally:
        made.close()
    _copy_options(files[0].with_name(OPTIONS), target.with_name(OPTIONS))
    return Merged(target, len(kept), n_dropped)


def _last_session(archive: Archive, file: Path) -> Record:
    sessions = archive.events("session")
    if not sessions:
        raise ArchiveError(f"{file} holds no search")
    return sessions[-1]


def _check_same(first: Record, other: Record, file: Path, other_file: Path, *, mixed: bool) -> None:
    for name in (*_SAME, *(() if mixed else _SCORED)):
        if first[name] != other[name]:
            hint = "; say mixed to merge them nevertheless" if name in _SCORED else ""
            raise ArchiveError(
                f"{other_file} is of another search than {file}: {name} is {other[name]}, not {first[name]}{hint}"
            )


def _kept(archives: Sequence[Archive]) -> tuple[list[tuple[int, str]], int]:
    """Return archive and trial of the evaluations to keep, in their order, and the number of others."""
    best: dict[Any, tuple[bool, int, int, str]] = {}
    n = 0
    for number, archive in enumerate(archives):
        for e in archive.evaluations:
            n += 1
            point = (e.arch, repr(sorted(e.hyperparameters.items())))
            known = best.get(point)
            if known is None or (e.ok, e.fidelity) > known[:2]:
                best[point] = (e.ok, e.fidelity, number, e.trial)
    kept = sorted((number, trial) for _, _, number, trial in best.values())
    return kept, n - len(kept)


def _numbered(kept: Sequence[tuple[int, str]], archives: Sequence[Archive]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield event and fields of the records of the new archive."""
    refused: set[str] = set()
    names = {trial: f"{n:05d}" for n, trial in enumerate(kept, 1)}
    for number, archive in enumerate(archives):
        for record in archive:
            fields = {name: value for name, value in record.items() if name not in ("event", "provenance")}
            if record["event"] in ("proposed", "result", "ended", "measured"):
                if name := names.get((number, record["trial"])):
                    yield record["event"], {**fields, "trial": name}
            elif record["event"] == "refused" and repr(record["config"]) not in refused:
                refused.add(repr(record["config"]))
                yield "refused", fields


def _copy_options(source: Path, target: Path) -> None:
    if source.is_file():
        write_whole(target, read_file(source).decode(errors="replace"))
