"""Evaluations of other archives, from which the strategy of a search learns."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.errors import ArchiveError, SpaceError
from raynas.run.file_names import ARCHIVE


def import_evaluations(archive: Archive, folders: Sequence[str | Path], space: SearchSpace, goal: Goal) -> None:
    """Record the evaluations of other searches, those that are not recorded yet, for the strategy to learn from.

    They count as no trials, and their architectures may be evaluated again: another search may have scored in another
    way. The other archives are not needed again.

    Args:
        archive: of the search; its session is recorded already.
        folders: of the other searches.
        space: of the points of the search.
        goal: names the objectives.

    Raises:
        ArchiveError: if an archive cannot be read, is of another space, or has nothing to learn from.
    """
    known = {record["source"] for record in archive.events("imported")}
    for folder in map(Path, folders):
        file = folder if folder.name == ARCHIVE else folder / ARCHIVE
        if not file.exists() and any(source.startswith(f"{folder}, trial ") for source in known):
            continue  # the same call again, after the other search was removed
        useful = _useful(Archive.load(file).evaluations, goal)
        if not useful:
            wanted = " and ".join(o.metric for o in goal.objectives)
            raise ArchiveError(f"{file} has no evaluation with {wanted}: there is nothing to learn from it")
        records = [(f"{folder}, trial {e.trial}", _config(e, space, file), e) for e in useful]
        for source, config, e in records:
            if source not in known:
                archive.append("imported", config=config, metrics=e.metrics, fidelity=e.fidelity, source=source)


def _useful(evaluations: Iterable[Evaluation], goal: Goal) -> list[Evaluation]:
    return [e for e in evaluations if e.ok and all(o.metric in e.metrics for o in goal.objectives)]


def _config(e: Evaluation, space: SearchSpace, file: Path) -> dict[str, object]:
    try:
        return space.to_config(space.from_config({"arch": e.arch, **e.hyperparameters}))
    except SpaceError as error:
        raise ArchiveError(f"{file} is of another space than this search: trial {e.trial}: {error}") from None
