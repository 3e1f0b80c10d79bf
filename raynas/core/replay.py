"""ReplayableSearcher: records every event of a search, and restores its state by living through the record again."""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import Any

from ray.tune.search import Searcher

from raynas.core.architecture import Architecture, Config
from raynas.core.archive import Archive, Record
from raynas.core.cost_limits import CostLimits
from raynas.core.evaluation import Evaluation
from raynas.core.metric import Mode
from raynas.core.space import SearchSpace


class ReplayableSearcher(Searcher):
    """The half of ``ArchitectureSearcher`` that keeps the record; the other half decides.

    The same algorithm with the same seed proposes the same architectures. So no state is saved but the record: a
    searcher made with the same arguments reaches the same state by replaying it.

    Args:
        space: the space of the points.
        limits: refuses points, and remembers measured costs.
        queue: points to propose first.
        archive: where to record; in memory by default.
        metric: Tune's, a name or a list of names.
        mode: Tune's, likewise.
    """

    def __init__(
        self,
        space: SearchSpace,
        limits: CostLimits,
        queue: Iterable[Architecture],
        archive: Archive | None,
        *,
        metric: str | list[str],
        mode: str | list[Mode],
    ) -> None:
        super().__init__(metric=metric, mode=mode)  # type: ignore[arg-type]
        self.space = space
        self.archive = archive if archive is not None else Archive()
        self.ended_because = ""
        self.n_replayed_exactly = 0
        self._limits = limits
        self._queue = deque(queue)
        self._running: dict[str, Architecture] = {}
        self._is_replaying = False

    @abstractmethod
    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial (a dict), None for "not now", or ``Searcher.FINISHED``."""

    @abstractmethod
    def _end(self, evaluation: Evaluation) -> None:
        """Record the end of a running trial and learn from it."""

    def _record(self, event: str, **fields: object) -> None:
        """Append to the archive, unless the event is a replayed one."""
        if not self._is_replaying:
            self.archive.append(event, **fields)

    def config_of(self, proposed: Record) -> Config:
        """Return the config of a recorded proposal, with tuples where JSON has lists."""
        return self.space.to_config(self.space.from_config(proposed["config"]))

    def save(self, checkpoint_path: str) -> None:
        """Write the archive."""
        self.archive.dump(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Reach the state in which ``save`` was called, in a searcher made with the same arguments."""
        self.archive = Archive.load(checkpoint_path)
        self.replay(self.archive)

    def replay(self, records: Iterable[Record]) -> None:
        """Live through recorded events again, without recording them.

        As soon as the algorithm proposes another architecture than the recorded one (strategy or seed were changed, or
        it had seen the failure of a trial that began again since), the other events of that session are only observed:
        a warm start, from which the next session began.
        """
        self._is_replaying = True
        is_faithful = True
        for record in list(records):
            event, trial = record["event"], record.get("trial")
            if event == "session":
                is_faithful = True
            elif event == "refused":
                point = self.space.from_config(record["config"])
                self._limits.note(point, record["metrics"])
                self._limits.refused[point] = record["reason"]
            elif event == "waited" and is_faithful:
                is_faithful = self.suggest("") is None
                self._take_back("")
            elif event == "proposed":
                is_faithful = self._replay_proposal(record, is_faithful)
            elif event == "ended" and trial in self._running:
                point, fidelity, metrics = self._running[trial], record["fidelity"], record["metrics"]
                self._end(Evaluation(point, metrics, fidelity, record["status"], trial, record["error"]))
        self._is_replaying = False
        self.ended_because = ""

    def _replay_proposal(self, record: Record, is_faithful: bool) -> bool:
        """Start the recorded trial, and return whether the algorithm proposed it too, as it did before."""
        trial, point = record["trial"], self.space.from_config(record["config"])
        self._limits.note(point, record["costs"])
        if is_faithful:
            self.suggest(trial)
            is_faithful = self._running.get(trial) == point
            self.n_replayed_exactly += is_faithful
            if not is_faithful:
                self._take_back(trial)
        self._running[trial] = point
        return is_faithful

    def _take_back(self, trial: str) -> None:
        """Put a proposal that the record does not have first in the queue, so that it is not lost."""
        point = self._running.pop(trial, None)
        if point is not None:
            self._queue.appendleft(point)
