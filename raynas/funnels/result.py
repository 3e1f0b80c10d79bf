"""The findings of a funnel, stage by stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from raynas.analysis import RankCorrelation
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.funnels.stage import FunnelStage
from raynas.views.report import best_or_reason


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """The findings of a stage.

    Args:
        number: from 1.
        n_stages: the number of stages of the funnel.
        stage: its settings.
        n_candidates: number of architectures that were given to the stage, or that its strategy proposed.
        result: its search.
        survivors: evaluations whose architectures enter the next stage, best first; in the last stage, all that comply
            with the constraints.
        correlation: of the score of the stage before with this one's, on what both have scored; None for the first.
    """

    number: int
    n_stages: int
    stage: FunnelStage
    n_candidates: int
    result: SearchResult
    survivors: tuple[Evaluation, ...] = ()
    correlation: RankCorrelation | None = None

    @property
    def name(self) -> str:
        """The name of the stage in tables."""
        return f"{self.number} {self.stage.kind}"

    @property
    def is_last(self) -> bool:
        """True if no stage follows."""
        return self.number == self.n_stages

    # Reading an archive takes time where thousands were scored, so it is read once.

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every trial that ended."""
        return tuple(self.result.evaluations)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """The ends of its trials, and the proposals that cost none; see ``SearchResult.counts``."""
        return self.result.counts

    @cached_property
    def best(self) -> Evaluation | None:
        """The best that meets the constraints, of several objectives in the first; None if there is none."""
        return best_or_reason(self.result)[0]

    @property
    def epochs(self) -> int:
        """Epochs that all its trials trained together; 0 where nothing is trained."""
        return sum(e.fidelity for e in self.evaluations) if self.stage.trains else 0

    @property
    def seconds(self) -> float:
        """Seconds that all its trials computed together, as far as they say; without waiting."""
        return sum(e.metrics.get("train_seconds", 0.0) for e in self.evaluations)

    @cached_property
    def scores(self) -> dict[Architecture, float]:
        """The first objective of what finished, larger is better."""
        first = self.result.goal.first
        full = (e for e in self.evaluations if e.status == "finished")
        return {e.arch: first.sign * e.metrics[first.metric] for e in full if first.metric in e.metrics}


@dataclass(frozen=True, kw_only=True)
class FunnelResult:
    """The findings of a funnel.

    Args:
        stages: the stages as far as the funnel has come; the last of these may be interrupted.
        path: the folder that holds a folder per stage, and the summary.
        interrupted: whether the funnel was interrupted; the same call continues it.
    """

    stages: tuple[StageResult, ...]
    path: Path
    interrupted: bool = False

    @property
    def last(self) -> SearchResult:
        """The last stage's search.

        Raises:
            RaynasError: if the funnel has not reached it.
        """
        at = self.stages[-1]
        if not at.is_last:
            raise RaynasError(f"the funnel is at stage {at.number} of {at.n_stages}: the same call goes on")
        return at.result

    def best(self) -> Evaluation:
        """Return the best of the last stage.

        Raises:
            RaynasError: if there is none, or the funnel has not reached it.
        """
        return self.last.best()

    def pareto_front(self) -> list[Evaluation]:
        """Return the evaluations of the last stage that no other beats in every objective.

        Raises:
            RaynasError: if the funnel has not reached it.
        """
        return self.last.pareto_front()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per trial of all stages, with the stage's number; see ``SearchResult.to_frame``."""
        frames = [at.result.to_frame().assign(stage=at.number) for at in self.stages]
        whole: pd.DataFrame = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
        return whole
