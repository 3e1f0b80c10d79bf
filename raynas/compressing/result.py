"""The findings of a compression."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import nn

from raynas.analysis import DecisionWorth, decision_worth
from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.networks import ExportedFiles
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.funnels import FunnelResult
from raynas.metrics import METRICS, ZERO_COST
from raynas.metrics.table import COUNTED
from raynas.trials import Distillation

CHEAP = ("divergence", "loss_increase", "agreement", "accuracy", "weight_share", "taylor_share", *ZERO_COST)
"""Scores before recovery that are compared with recovery, where they were computed."""


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """The findings of a compression, as far as it has come.

    Args:
        space: the converted space.
        funnel: scores of many members, and the training of candidates.
        given: metrics of the given model.
        path: the folder.
        recovery: the training of candidates.
        uniform: the member of uniform width; None if nothing was compared.
        compared: the training of members to compare with; None if there were none.
        candidates: all that were trained as candidates are; None if that has not ended.
        final: the last training of the best; None if there is none.
        before: scores before recovery of members to compare with that were not scored in the first stage.
        on_test: metrics of the given model and of the result on the test split, by name; empty without such a split.
        exported: the files of the network; None if it was not exported.
        limits_met: each limit with the figure of the exported network.
    """

    space: ConvertedSpace
    funnel: FunnelResult
    given: Mapping[str, float]
    path: Path
    recovery: Distillation
    uniform: Architecture | None = None
    compared: SearchResult | None = None
    candidates: SearchResult | None = None
    final: SearchResult | None = None
    before: Mapping[Architecture, Mapping[str, float]] = field(default_factory=dict)
    on_test: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    exported: ExportedFiles | None = None
    limits_met: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        from raynas.compressing.report import as_text

        return as_text(self)

    @property
    def interrupted(self) -> bool:
        """True if a step was interrupted; the same call continues it."""
        return self.candidates is None or (self.final is not None and self.final.interrupted)

    @property
    def result(self) -> SearchResult:
        """The search whose best is the result: the last training, or that of the candidates.

        Raises:
            RaynasError: if it has not ended.
        """
        if self.candidates is None:
            raise RaynasError("the candidates are not trained yet: the same call continues")
        return self.final or self.candidates

    @property
    def goal(self) -> Goal:
        """Objectives and limits."""
        return self.result.goal

    def best(self) -> Evaluation:
        """Return the best recovered member within the limits.

        Raises:
            RaynasError: if there is none yet.
        """
        return self.result.best()

    def best_model(self) -> nn.Module:
        """Return the network of ``best()`` with its recovered weights, in eval mode.

        Raises:
            RaynasError: if there are no weights.
        """
        return self.result.best_model()

    # --- comparisons -------------------------------------------------------------------------------------------------

    @property
    def recovered(self) -> list[Evaluation]:
        """Members that were trained for all epochs of a candidate."""
        return self.candidates.candidates if self.candidates else []

    @property
    def of_uniform_width(self) -> Evaluation | None:
        """The recovered member of uniform width; None if there is none."""
        return next((e for e in self.recovered if e.arch == self.uniform), None)

    @property
    def random(self) -> list[Evaluation]:
        """The recovered random members to compare with, best first."""
        compared = {e.arch for e in self.compared.full} if self.compared else set()
        found = [e for e in self.recovered if e.arch in compared and e.arch != self.uniform]
        return self.goal.sort(found)

    @property
    def best_candidate(self) -> Evaluation | None:
        """The best of the candidates alone, without those to compare with."""
        found = self.funnel.last
        return found.goal.best(found.eligible)

    @cached_property
    def scores_before(self) -> Mapping[Architecture, Mapping[str, float]]:
        """Scores before recovery."""
        return {**{e.arch: e.metrics for e in self.funnel.stages[0].result.full}, **self.before}

    def worth(self) -> list[DecisionWorth]:
        """Compare each score before recovery with the first objective after all epochs of a candidate."""
        first = self.goal.first
        final = {e.arch: first.sign * float(e.metrics[first.metric]) for e in self.recovered}
        return list(self._compared(final))

    def worth_early(self) -> list[DecisionWorth]:
        """Compare each score before recovery with the first objective after one epoch of recovery.

        All candidates count here, also those that early stopping ended.
        """
        return list(self._compared(self.after_first_epoch))

    @cached_property
    def after_first_epoch(self) -> Mapping[Architecture, float]:
        """The first objective after one epoch of recovery, larger is better."""
        searches = [self.funnel.stages[-1].result, *([self.compared] if self.compared else [])]
        found: dict[Architecture, float] = {}
        for search in searches:
            first = search.goal.first
            archs = {e.trial: e.arch for e in search.evaluations}
            ended = {e.arch: e.metrics for e in search.evaluations if e.fidelity == 1 and first.metric in e.metrics}
            found |= {arch: first.sign * float(metrics[first.metric]) for arch, metrics in ended.items()}
            for record in search.archive.events("result"):
                trial, metrics = record["trial"], record["metrics"]
                if record["fidelity"] == 1 and trial in archs and first.metric in metrics:
                    found[archs[trial]] = first.sign * float(metrics[first.metric])
        return found

    def _compared(self, final: Mapping[Architecture, float]) -> Iterator[DecisionWorth]:
        members = [arch for arch in final if arch in self.scores_before]
        for name in (*dict.fromkeys((*CHEAP, *COUNTED)),):
            values = [self.scores_before[arch].get(name) for arch in members]
            if members and all(value is not None for value in values):
                sign = 1 if name in COUNTED or METRICS[name].mode == "max" else -1
                cheap = [sign * float(value) for value in values if value is not None]
                yield decision_worth(name, cheap, [final[arch] for arch in members])
