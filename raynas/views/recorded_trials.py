"""RecordedTrials: an archive of the trials of any searcher, made from what Tune tells of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raynas.core.architecture import Architecture, Config
from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.outcome import outcome, report_of
from raynas.core.relaxed_weights import relaxed_field
from raynas.core.space import SearchSpace
from raynas.validate import plain_parts


class RecordedTrials:
    """Records the trials of a run in an archive, which a restored run continues.

    Args:
        space: of the architectures, which are under "arch" in the configs of the trials.
        goal: of the search.
        path: of the archive.
    """

    def __init__(self, space: SearchSpace, goal: Goal, path: Path) -> None:
        self._space, self.goal, self._path = space, goal, path
        self._archive: Archive | None = None
        self._running: dict[str, Architecture] = {}
        self._statuses: dict[str, str] = {}
        self._names: dict[str, str] = {}

    @property
    def archive(self) -> Archive:
        """The records, opened when they are first asked for.

        Raises:
            ArchiveError: if the file cannot be used.
        """
        if self._archive is None:
            self._archive = Archive(self._path)
            self._statuses = {record["trial"]: record["status"] for record in self._archive.events("ended")}
            unfinished = self._archive.unfinished()
            self._running = {trial: self._space.from_config(r["config"]) for trial, r in unfinished.items()}
        return self._archive

    def begin(self, trial: str, config: Mapping[str, Any]) -> None:
        """Record that a trial runs.

        A trial that has ended may run again, where the record that Tune is restored from is older. It is not recorded
        again, unless it had failed; it then gets another name.

        Raises:
            SpaceError: if its config holds no architecture of the space.
        """
        archive = self.archive
        while self._statuses.get(name := self._names.get(trial, trial)) == "failed":
            self._names[trial] = f"{name}-again"
        if name not in self._running and name not in self._statuses:
            self._running[name] = self._space.from_config(config)
            archive.append("proposed", trial=name, config=self._plain(config), costs={})

    def report(self, trial: str, result: Mapping[str, Any]) -> None:
        """Record a result of a trial that runs."""
        name = self._names.get(trial, trial)
        if name in self._running:
            self.archive.append("result", trial=name, **report_of(result))

    def end(self, trial: str, result: Mapping[str, Any], *, error: bool) -> None:
        """Record the end of a trial that runs."""
        name = self._names.get(trial, trial)
        if (point := self._running.pop(name, None)) is None:
            return
        e = outcome(name, point, dict(result), self.goal, costs={}, error=error)
        told: dict[str, Any] = {"status": e.status, "fidelity": e.fidelity, "metrics": e.metrics, "error": e.error}
        told |= {"notes": e.notes} if e.notes else {}
        self._statuses[name] = e.status
        self.archive.append("ended", trial=name, **told, **relaxed_field(result))

    def close(self) -> None:
        """Release the file."""
        if self._archive is not None:
            self._archive.close()

    def _plain(self, config: Mapping[str, Any]) -> Config:
        """Return a config with the canonical architecture, and as text what JSON cannot hold."""
        others = {name: _jsonable(value) for name, value in config.items()}
        return {**others, **self._space.to_config(self._space.from_config(config))}


def _jsonable(value: object) -> object:
    try:
        return json.loads(json.dumps(plain_parts(value), allow_nan=False))
    except (TypeError, ValueError):
        return repr(value)
