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
        self._ahead = deque[str]()
        self._generation: dict[str, Evaluation | None] = {}
        self._is_replaying = False
        self.is_faithful = True
        """False after a replay whose last session had other proposals than the algorithm makes."""

    needs_no_replay: bool = False
    """True if proposals follow from the evaluations, the trials that run and the seed, so that ``recall`` suffices.

    A searcher with other state, such as its position in a list or a tree, reaches it by ``replay`` alone.
    """

    generation_size: int = 0
    """Number of proposals that are made at once, and observed in their order when all of their trials have ended; 0 for
    a proposal at a time, observed when its trial ends.

    In generations a search depends neither on the number of trials at a time nor on which of them is faster.
    """

    @abstractmethod
    def _next_point(self) -> Architecture | str | None:
        """Return the next point to evaluate, None for "not now", or ``Searcher.FINISHED``."""

    @abstractmethod
    def _start(self, trial_id: str, point: Architecture, **more: bool) -> Config:
        """Record that a trial gets a point, with what else is to be recorded, and return its config."""

    @abstractmethod
    def observe(self, evaluation: Evaluation) -> None:
        """Learn from an evaluation; it may have failed (``not evaluation.ok``), be unasked for, or come twice."""

    @abstractmethod
    def _learn(self, evaluation: Evaluation) -> None:
        """Learn from an evaluation, and know its architecture from now on."""

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial (a dict), None for "not now", or ``Searcher.FINISHED``."""
        point = self._next_of_generation() if self.generation_size else self._next_point()
        return self._start(trial_id, point) if isinstance(point, Architecture) else point

    def _next_of_generation(self) -> Architecture | str | None:
        """Return the next point of this generation; of another one only after all of this have ended."""
        end = None if self._running else self._propose_generation()
        return self._running.pop(self._ahead.popleft()) if self._ahead else end

    def _propose_generation(self) -> str | None:
        """Propose up to a generation; its points count as running. Return the reason if it is shorter."""
        for number in range(self.generation_size):
            point = self._next_point()
            if not isinstance(point, Architecture):
                self.ended_because = "" if number else self.ended_because
                return point
            name = f"number {number} of the generation"
            self._running[name] = point
            self._ahead.append(name)
        return None

    def _observe_in_order(self, evaluation: Evaluation) -> None:
        """Learn from a trial that has ended, or keep that until its whole generation has."""
        self._generation[evaluation.trial] = evaluation
        if not self.generation_size:
            self._learn(evaluation)
            del self._generation[evaluation.trial]
        elif not self._running:
            ended, self._generation = self._generation, {}
            for one in ended.values():
                if one is not None:
                    self._learn(one)

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
        self.is_faithful = True
        for record in list(records):
            event = record["event"]
            if event == "session":
                self.is_faithful = True
            elif event == "waited" and self.is_faithful:
                self.is_faithful = self.suggest("") is None
                self._take_back("")
            elif event == "proposed":
                self._replay_proposal(record)
            else:
                self._replay_other(record)
        self._is_replaying = False
        self.ended_because = ""

    def recall(self, records: Iterable[Record]) -> None:
        """Learn from recorded events without making a proposal again; see ``needs_no_replay``.

        The next proposals are others than after ``replay``. Where a predictor is fitted for a proposal, a long record
        is recalled in a small part of the time that a replay takes.
        """
        self._is_replaying = True
        for record in list(records):
            if record["event"] == "proposed":
                point = self.space.from_config(record["config"])
                self._limits.note(point, record["costs"])
                self._run_again(record["trial"], point)
                self._recall_proposal(point, is_own=not record.get("outside", False))
            else:
                self._replay_other(record)
            if record["event"] in ("refused", "duplicate"):
                self._recall_fruitless(self.space.from_config(record["config"]))
        self._is_replaying = False

    @abstractmethod
    def _recall_proposal(self, point: Architecture, *, is_own: bool) -> None:
        """Learn that a point was once proposed, by the algorithm or from outside."""

    @abstractmethod
    def _recall_fruitless(self, point: Architecture) -> None:
        """Learn that a proposal was once refused, or known already."""

    def _replay_other(self, record: Record) -> None:
        """Live through an event that is no proposal."""
        event, trial = record["event"], record.get("trial")
        if event == "refused":
            point = self.space.from_config(record["config"])
            self._limits.note(point, record["metrics"])
            self._limits.note_refusal(point, record["reason"])
        elif event == "imported":
            point = self.space.from_config(record["config"])
            self.observe(Evaluation(point, record["metrics"], record["fidelity"]))
        elif event == "ended" and trial in self._running:
            point, fidelity, metrics = self._running[trial], record["fidelity"], record["metrics"]
            self._end(Evaluation(point, metrics, fidelity, record["status"], trial, record["error"]))

    def _replay_proposal(self, record: Record) -> None:
        """Start the recorded trial, and note whether the algorithm proposed it too, as it did before."""
        trial, point = record["trial"], self.space.from_config(record["config"])
        self._limits.note(point, record["costs"])
        if self.is_faithful and not record.get("outside"):
            self.suggest(trial)
            self.is_faithful = self._running.get(trial) == point
            self.n_replayed_exactly += self.is_faithful
            if not self.is_faithful:
                self._take_back(trial)
        self._run_again(trial, point)

    def _run_again(self, trial: str, point: Architecture) -> None:
        self._running[trial] = point
        self._generation.setdefault(trial, None)

    def _take_back(self, trial: str) -> None:
        """Put proposals that the record does not have first in the queue, so that none is lost."""
        self._generation.pop(trial, None)
        names = [trial, *self._ahead]
        self._ahead.clear()
        self._queue.extendleft(reversed([self._running.pop(name) for name in names if name in self._running]))
