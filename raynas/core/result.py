"""SearchResult: the findings of a search, read from its archive."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError


@dataclass(frozen=True)
class SearchResult:
    """The evaluations of a search and how it ranks them.

    Args:
        space: the space that was searched.
        goal: objectives and constraints, relative ones resolved.
        archive: every event of the search.
        path: the folder that holds the archive, the logs and the checkpoints.
        ended_because: the reason why the search ended before its number of trials; "" if it did not.
        interrupted: whether it was interrupted; the same call continues it.
    """

    space: SearchSpace
    goal: Goal
    archive: Archive
    path: Path
    ended_because: str = ""
    interrupted: bool = False

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every trial that ended, in the order of their ends."""
        return self.archive.evaluations

    @property
    def full(self) -> list[Evaluation]:
        """The evaluations that ran to their own end: a score after less training is not comparable."""
        return [e for e in self.evaluations if e.status == "finished"]

    def best(self) -> Evaluation:
        """Return the best fully trained evaluation that meets the constraints.

        Raises:
            RaynasError: if there is none; counts the ends of the trials, and gives the last error.
        """
        best = self.goal.best(self.full)
        if best is None:
            raise RaynasError(self.why_none)
        return best

    def pareto_front(self, objectives: "tuple[str, ...] | None" = None) -> list[Evaluation]:
        """Return the fully trained evaluations that meet the constraints and that no other beats in every objective.

        Args:
            objectives: other objectives than the search's own, e.g. ``("accuracy", "latency_ms")``.
        """
        goal = self.goal
        if objectives is not None:
            goal = Goal.parse(list(objectives), goal.constraints, goal.metrics, goal.watched)
        return goal.pareto_front(self.full)

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials that finished, were stopped early or failed, and of proposals that cost none."""
        statuses = Counter(str(e.status) for e in self.evaluations)
        events = Counter(record["event"] for record in self.archive)
        return {
            **{status: statuses[status] for status in ("finished", "stopped", "failed")},
            **{name: events[event] for name, event in (("refused", "refused"), ("duplicates", "duplicate"))},
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a row per trial: its name, status, fidelity, metrics, hyperparameters and decisions (``arch/...``)."""
        frame: pd.DataFrame = pd.DataFrame([_row(e) for e in self.evaluations])
        return frame

    @property
    def why_none(self) -> str:
        """The ends of the trials in one line, where none of them is a result."""
        counts = ", ".join(f"{n} {what}" for what, n in self.counts.items() if n) or "no trial ended"
        errors = [e.error for e in self.evaluations if e.error]
        broken = [str(c) for c in self.goal.hard if any(c.violation(e.metrics) for e in self.full)]
        hint = f"; the last error: {errors[-1]}" if errors else ""
        hint += f"; constraints broken by what finished: {', '.join(broken)}" if broken else ""
        return f"the search has no result yet ({counts}){hint}"


def _row(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "trial": evaluation.trial,
        "status": evaluation.status,
        "fidelity": evaluation.fidelity,
        **evaluation.metrics,
        **{name: value for name, value in evaluation.hyperparameters.items()},
        **{f"arch/{name}": option for name, option in evaluation.arch.items()},
        "error": evaluation.error,
    }
