"""Results of searches read from their folders, without the code that the searches ran."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from raynas.core.architecture import Option
from raynas.core.archive import Archive, Record
from raynas.core.decision import Decision
from raynas.core.goal import Goal
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics import read_goal
from raynas.run.file_names import ARCHIVE
from raynas.run.so_far import is_open
from raynas.views.result_plots import ResultPlots


class RecordedSpace(SearchSpace):
    """The space of a recorded search, of which the archive has only the name.

    Args:
        name: its name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def decisions(self) -> Sequence[Decision]:
        """None are known."""
        return ()

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Refuse.

        Raises:
            RaynasError: always.
        """
        raise RaynasError(f"the archive has no code of {self.name}: run the search again to get its networks")


def stored_result(path: Path) -> SearchResult:
    """Return the result of the search in a folder as far as it got; it may still be running.

    ``interrupted`` is True if trials are missing; only the search itself knows if it ended before its number of trials.

    Raises:
        ArchiveError: if the archive is missing or damaged.
        RaynasError: if nothing was searched yet.
    """
    archive = Archive.load(path / ARCHIVE)
    sessions = archive.events("session")
    if not sessions:
        raise RaynasError(f"the search in {path} did not begin: run the same command again")
    session = sessions[-1]
    space, goal = RecordedSpace(str(session["space"]).partition(" ")[0]), _goal(session, archive)
    return SearchResult(
        space=space,
        goal=goal,
        archive=archive,
        path=path,
        interrupted=is_open(archive, session["num_samples"]),
        plots=ResultPlots(space, goal, archive),
    )


def _goal(session: Record, archive: Archive) -> Goal:
    """Return the goal, with the figures of the baseline that were measured, and those of its trial."""
    goal = read_goal(session["objectives"], session["constraints"]).against(session["baseline"])
    for evaluation in archive.evaluations:
        config = {"arch": evaluation.arch.to_config(), **evaluation.hyperparameters}
        if evaluation.ok and json.dumps(config, sort_keys=True) == session.get("baseline_is"):
            goal = goal.against(evaluation.as_searched.metrics)
    return replace(goal, tolerance=session.get("tolerance"))
