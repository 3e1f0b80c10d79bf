"""SearchResult: the findings of a search, read from its archive."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn
from typing_extensions import Unpack

from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.final_metrics import is_in_question, why_none_is_believed
from raynas.core.goal import Goal
from raynas.core.networks import ExportedFiles, ExportOptions, Networks
from raynas.core.plots import Plots, Plotted
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError


@dataclass(frozen=True)
class SearchResult(Plotted):
    """The evaluations of a search and how it ranks them.

    Args:
        space: the space that was searched.
        goal: objectives and constraints, relative ones resolved.
        archive: every event of the search.
        path: the folder that holds the archive, the logs and the checkpoints.
        ended_because: the reason why the search ended before its number of trials; "" if it did not.
        interrupted: whether it was interrupted; the same call continues it.
        networks: gives the networks of its trials with weights; None if it has no trials.
        plots: draws its figures.
        also: fully trained evaluations of another search that was paid for: candidates like those of this one.
    """

    space: SearchSpace
    goal: Goal
    archive: Archive
    path: Path
    ended_because: str = ""
    interrupted: bool = False
    networks: Networks | None = field(default=None, repr=False)
    plots: Plots | None = field(default=None, repr=False)
    also: tuple[Evaluation, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        best, name = self.goal.best(self.candidates), self.goal.first.metric
        found = f"; best {name} {best.metrics[name]:g}" if best else ""
        on = "; interrupted: the same call continues it" if self.interrupted else ""
        return f"<SearchResult of {self.space.name}: {self._ends}{found}{on}; in {self.path}>"

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every trial that ended, in the order of their ends."""
        return self.archive.evaluations

    @property
    def full(self) -> list[Evaluation]:
        """The evaluations that ran to their own end: a score after less training is not comparable."""
        return [e for e in self.evaluations if e.status == "finished"]

    @property
    def eligible(self) -> list[Evaluation]:
        """The evaluations that may be the result: those of ``full``, unless a figure of them is not to be believed.

        As soon as one network broke a hard limit when it was measured at the end of the search, the figures of others
        before that do not count for the limit either.
        """
        is_one_broken = bool(self.broken_at_end)
        return [e for e in self.full if not (is_one_broken and is_in_question(self.goal, e))]

    @property
    def candidates(self) -> list[Evaluation]:
        """Those among which the best is chosen: ``eligible`` and ``also``."""
        return [*self.eligible, *self.also]

    def best(self) -> Evaluation:
        """Return the best of ``eligible`` that meets the constraints; of several objectives, in the first.

        Of one objective, it is the cheapest of those that the noise does not tell from the best; see ``near_ties``.

        Raises:
            RaynasError: if there is none; counts the ends of the trials, and gives the last error.
        """
        best = self.goal.best(self.candidates)
        if best is None:
            raise RaynasError(self.why_none)
        return best

    def best_model(self) -> nn.Module:
        """Return the network of ``best()`` with the weights that its trial gave it; see ``trained_model``."""
        return self.trained_model(self.best())

    def trained_model(self, evaluation: Evaluation) -> nn.Module:
        """Return the network of a trial with the weights that it had at its end, on the CPU and in eval mode.

        Checkpoints are kept of the best trials alone. A network that was trained at a lower fidelity has the size and
        the weights of that; ``retrain`` trains it to the end.

        Raises:
            RaynasError: if there are no weights; says what to do.
        """
        return self._networks.model(evaluation)

    def saved_state(self, evaluation: Evaluation | None = None) -> Mapping[str, Any]:
        """Return all that a trial saved with its last report, by default that of ``best()``.

        Returns:
            Tensors, numbers and texts: the weights under "model"; what a training function saved under "state".

        Raises:
            RaynasError: if it has no checkpoint.
        """
        evaluation = evaluation or self.best()
        if (state := self._networks.state(evaluation)) is None:
            raise RaynasError(f"trial {evaluation.trial} has no checkpoint: only the best of those that train keep one")
        return state

    def retrain(self, epochs: int | None = None, directory: str | Path | None = None) -> Mapping[str, float]:
        """Train the architecture of ``best()`` from scratch to the end, and test it; see ``raynas.trials.retrain``.

        Args:
            epochs: default those of the search.
            directory: the folder to write weights and metrics to; by default one in ``path / "best"``.

        Raises:
            RaynasError: if the search was not by training, or the training fails.
        """
        return self._networks.retrain(self.best(), epochs, None if directory is None else Path(directory))

    def export(
        self, directory: str | Path, evaluation: Evaluation | None = None, **options: Unpack[ExportOptions]
    ) -> ExportedFiles:
        """Write the network of a trial with its weights to files that run without raynas; see ``raynas.export``.

        Args:
            directory: the folder; made if missing.
            evaluation: the trial; by default that of ``best()``.
            options: see ``ExportOptions``.

        Raises:
            RaynasError: if there are no weights, the folder is not free, or a file disagrees with the network.
        """
        return self._networks.export(evaluation or self.best(), Path(directory), **options)

    @property
    def _networks(self) -> Networks:
        if self.networks is None:
            raise RaynasError("this result was not returned by raynas.search, which alone knows the weights of trials")
        return self.networks

    def pareto_front(self, objectives: "tuple[str, ...] | None" = None) -> list[Evaluation]:
        """Return those of ``eligible`` that meet the constraints and that no other beats in every objective.

        Args:
            objectives: other objectives than the search's own, e.g. ``("accuracy", "latency_ms")``.
        """
        goal = self.goal
        if objectives is not None:
            goal = Goal.parse(list(objectives), goal.constraints, goal.metrics, goal.watched)
        return goal.pareto_front(self.candidates)

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials that finished, were stopped early or failed, and of proposals that became none of them.

        Refused proposals broke a constraint; repaired ones were changed to meet it; duplicates were known already.
        """
        statuses = Counter(str(e.status) for e in self.evaluations)
        events = Counter(record["event"] for record in self.archive)
        return {
            **{status: statuses[status] for status in ("finished", "stopped", "failed")},
            **{name: events[name] for name in ("refused", "repaired")},
            "duplicates": events["duplicate"],
        }

    @property
    def _ends(self) -> str:
        return ", ".join(f"{n} {what}" for what, n in self.counts.items() if n) or "no trial ended"

    @property
    def broken_at_end(self) -> list[Evaluation]:
        """The evaluations that met the hard constraints until they were measured at the end of the search."""
        broken = [e for e in self.full if e.first and self.goal.violation(e) > 0]
        return [e for e in broken if self.goal.violation(e.as_searched) == 0]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per trial: name, status, fidelity, metrics, hyperparameters, decisions (``arch/...``), notes.

        Where a metric is unreliable, ``doubt/NAME`` has the reason; where it was measured again at the end of the
        search, ``first/NAME`` has the value before.
        """
        frame: pd.DataFrame = pd.DataFrame([e.as_row for e in self.evaluations])
        return frame

    @property
    def why_none(self) -> str:
        """The ends of the trials in one line, where none of them is a result."""
        errors = [e.error for e in self.evaluations if e.error]
        broken = [str(c) for c in self.goal.hard if any(c.violation(e.metrics) for e in self.full)]
        hint = f"; the last error: {errors[-1]}" if errors else ""
        hint += f"; constraints broken by what finished: {', '.join(broken)}" if broken else ""
        hint += why_none_is_believed(self.goal, self.full, self.broken_at_end)
        return f"the search has no result yet ({self._ends}){hint}"
