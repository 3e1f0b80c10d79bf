"""The report of a search written again from its folder, also of one that did not come to its end."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.result import SearchResult
from raynas.errors import ContentError, RaynasError
from raynas.files.content import decode_json, read_file
from raynas.files.inside import refuse_links
from raynas.files.weights import WEIGHTS
from raynas.run.best import keep
from raynas.run.file_names import ARCHITECTURE, ARCHIVE, BEST, RETRAIN_SETTINGS
from raynas.run.last_checkpoint import last_checkpoint, trial_folder
from raynas.run.report import report_files
from raynas.run.stored_result import stored_result
from raynas.storage.replica import bucket_of
from raynas.trials.checkpoint import Checkpoint
from raynas.views.report import Summary, summarise, write

MAX_SUMMARY_BYTES = 2**26
"""Largest size of a ``summary.json``, which holds whole Pareto fronts."""


RANDOM_IS_MISSING = "The random search for comparison did not come to its end."
ELSEWHERE = "The checkpoints are in"


class _Earlier(msgspec.Struct):
    """The facts of an earlier report that the archive does not hold."""

    title: str = ""
    counts: dict[str, int] = {}
    ended_because: str = ""
    notes: list[str] = []
    commands: dict[str, str] = {}


_EARLIER = msgspec.json.Decoder(_Earlier)
_METRICS = msgspec.json.Decoder(dict[str, Any])


def report_again(path: Path, directory: Path | None = None) -> Summary:
    """Write the report of the search in a folder again, and what it found best if that is not there; return the facts.

    Args:
        path: the folder of the search.
        directory: the folder of the report; default that of the search.

    Raises:
        OutsideError: if a link in the folder leads out of it.
        RaynasError: if it holds no search, or cannot be written.
    """
    directory = directory or path
    refuse_links(directory)
    result, earlier = stored_result(path), _earlier(directory)
    is_same = earlier.counts == result.counts  # Nothing ended since that report.
    if is_same and earlier.ended_because:
        result = dataclasses.replace(result, ended_because=earlier.ended_because, interrupted=False)
    random, notes = _random(path)
    summary = summarise(
        result,
        title=earlier.title or str(result.archive.events("session")[-1].get("title") or result.space.name),
        random=random,
    )
    if summary.best:
        _keep_best(summary.best, path, directory / BEST)
        if (bucket := bucket_of(path)) and not (directory / BEST / WEIGHTS).is_file():
            notes.append(f"{ELSEWHERE} {bucket}: only the command of the search gets the weights from there.")
    kept = [note for note in earlier.notes if is_same and not note.startswith((RANDOM_IS_MISSING, ELSEWHERE))]
    summary = dataclasses.replace(
        summary,
        retrained=_retrained(directory / BEST, summary.best) if summary.best else None,
        notes=tuple(dict.fromkeys([*kept, *notes, *summary.notes])),
        files={name: str(file) for name, file in report_files(result, directory, summary).items()},
        commands=earlier.commands if is_same and earlier.commands else _commands(result, directory),
    )
    searches = {"search": result, **({"random": random} if random else {})}
    write(summary, directory, searches=searches, stages=_earlier_stages(path) if directory != path else {})
    return summary


def _earlier(directory: Path) -> _Earlier:
    """Return what an earlier report says; nothing if there is none that can be read."""
    try:
        return msgspec.convert(
            decode_json(read_file(directory / "summary.json", MAX_SUMMARY_BYTES), _EARLIER), _Earlier
        )
    except (OSError, ContentError):
        return _Earlier()


def _earlier_stages(path: Path) -> dict[str, dict[Architecture, float]]:
    """Return the scores of the stages before the last of a funnel, larger is better, by name."""
    number = path.name.partition("-")[0]
    found: dict[str, dict[Architecture, float]] = {}
    for folder in sorted(path.parent.glob("*-*")):
        is_before = folder.name.partition("-")[0].isdecimal() and int(folder.name.partition("-")[0]) < int(number)
        if is_before and (folder / ARCHIVE).is_file():
            result = stored_result(folder)
            first = result.goal.first
            scored = (e for e in result.full if first.metric in e.metrics)
            found[f"stage {folder.name}"] = {e.arch: first.sign * e.metrics[first.metric] for e in scored}
    return found


def _random(path: Path) -> tuple[SearchResult | None, list[str]]:
    """Return the random search beside a search, and a note if it did not come to its end."""
    if not (path / "random" / ARCHIVE).is_file():
        return None, []
    random = stored_result(path / "random")
    if random.interrupted:
        return None, [RANDOM_IS_MISSING]
    return random, []


def _keep_best(best: Evaluation, path: Path, directory: Path) -> None:
    """Write the best architecture and its weights, unless it is there."""
    try:
        if read_file(directory / ARCHITECTURE) == f"{best.arch.to_json()}\n".encode():
            return
    except (OSError, ContentError):
        pass
    (directory / RETRAIN_SETTINGS).unlink(missing_ok=True)  # It may hold hyperparameters of another architecture.
    try:
        keep(best.arch, directory, None, None, _weights(best, path))
    except OSError as error:
        raise RaynasError(f"cannot write to {directory}: {error.strerror}") from None


def _weights(best: Evaluation, path: Path) -> Mapping[str, object] | None:
    found = last_checkpoint(trial_folder(path, best.trial), best.fidelity)
    state = Checkpoint.read(found[0]).state if found else None
    weights = (state or {}).get("model")
    return weights if isinstance(weights, Mapping) else None


def _retrained(directory: Path, best: Evaluation) -> Mapping[str, float] | None:
    """Return the metrics of the last training of the best architecture to its end; None if there is none."""
    folders = [
        folder for folder in directory.glob(f"retrained-{best.arch.key}-*") if (folder / "metrics.json").is_file()
    ]
    folders.sort(key=lambda folder: (folder / "metrics.json").stat().st_mtime)
    return read_metrics(folders[-1]) if folders else None


def read_metrics(directory: Path) -> dict[str, float]:
    """Return the metrics that a training to the end left in its folder; none if they cannot be read."""
    try:
        held = decode_json(read_file(directory / "metrics.json"), _METRICS)
    except (OSError, ContentError):
        return {}
    return {name: float(value) for name, value in held.items() if isinstance(value, int | float)}


def _commands(result: SearchResult, directory: Path) -> Mapping[str, str]:
    file = shlex.quote(str(directory / BEST / ARCHITECTURE))
    logs = directory / "tensorboard"
    commands = {"look closer": f"tensorboard --logdir {shlex.quote(str(logs))}"} if logs.is_dir() else {}
    if (directory / BEST / RETRAIN_SETTINGS).is_file():
        commands["train longer"] = f"raynas retrain {file}"
        if (directory / BEST / WEIGHTS).is_file():
            commands["take it away"] = f"raynas export {file}"
    return {**commands, **({"continue": "the same command"} if result.interrupted else {})}
