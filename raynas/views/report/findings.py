"""Findings: all that a report page is made from, each part computed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from raynas import analysis
from raynas.core.architecture import Architecture
from raynas.core.archive import Archive, Record
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.core.result import SearchResult
from raynas.views.report.facts import Summary


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A search and its analysis.

    Args:
        summary: the facts.
        result: of the search.
        others: results of other searches for the same goal, such as random search, by name.
        stages: scores of earlier stages of a funnel, larger is better, by name.
        options: the file of all settings, as the command line wrote it; "" if there is none.
        is_running: whether the search still runs.
        shared: archive of the training of the weights that the networks share, if they do.
    """

    summary: Summary
    result: SearchResult
    others: Mapping[str, SearchResult] = field(default_factory=dict)
    stages: Mapping[str, Mapping[Architecture, float]] = field(default_factory=dict)
    options: str = ""
    is_running: bool = False
    shared: Archive | None = None

    @property
    def goal(self) -> Goal:
        """Objectives, constraints and baseline."""
        return self.result.goal

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Trials of the search in the order of their ends."""
        return self.result.evaluations

    @cached_property
    def by_source(self) -> dict[str, list[Evaluation]]:
        """Trials of all searches, by the name of the search."""
        return {analysis.SEARCH: self.evaluations, **{name: r.evaluations for name, r in self.others.items()}}

    @property
    def sessions(self) -> list[Record]:
        """The sessions of the search, oldest first."""
        return self.result.archive.events("session")

    @cached_property
    def generation_size(self) -> int:
        """Number of trials of a generation; 0 without generations."""
        return analysis.generation_size(self.result.archive)

    @cached_property
    def compared(self) -> list[Objective]:
        """The metrics to compare with the first objective that some trial has."""
        measured = {name for e in self.evaluations for name in e.metrics}
        return [o for o in analysis.compared(self.goal) if o.metric in measured]

    def front(self, across: Objective) -> analysis.Front:
        """Return the front of the first objective against another metric, over all searches."""
        others = {name: found for name, found in self.by_source.items() if name != analysis.SEARCH}
        return analysis.front(self.evaluations, self.goal, across, others=others, generation_size=self.generation_size)

    @cached_property
    def cheap_scores(self) -> list[analysis.CheapScore]:
        """Cheap scores and their worth."""
        return analysis.cheap_scores(self.result.archive, self.goal, stages=self.stages)

    @cached_property
    def importance(self) -> analysis.Importance:
        """Importance of decisions for the first objective."""
        return analysis.importance(self.evaluations, self.goal, self.result.space)

    @cached_property
    def spending(self) -> analysis.Spending:
        """Hours of devices."""
        return analysis.spending(self.result.archive)

    @cached_property
    def shared_weights(self) -> analysis.SharedWeights | None:
        """Return the training of the weights that the networks share; None if they share none."""
        trained = self.shared and analysis.shared_weights(self.shared)
        return trained if trained and trained.epochs else None
