"""ResultPlots: the figures of a search, as ``SearchResult`` asks for them."""

from dataclasses import dataclass
from typing import Any

from raynas import analysis
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, UnknownNameError
from raynas.views.figures import (
    agreement_figure,
    correlations_figure,
    front_figure,
    history_figure,
    hypervolume_figure,
    importance_figure,
    parallel_figure,
    shares_figure,
    survival_figure,
)
from raynas.views.figures.style import Figure


@dataclass(frozen=True)
class ResultPlots:
    """Draws the figures of a search; see ``raynas.core.plots.Plotted`` for its methods.

    Args:
        space: of the search.
        goal: of the search.
        archive: of the search.
    """

    space: SearchSpace
    goal: Goal
    archive: Archive

    def front(self, metric: str | None) -> Any:
        """Draw a Pareto front."""
        evaluations = self.archive.evaluations
        measured = {name for e in evaluations for name in e.metrics}
        first = self.goal.first.metric
        others = [o for o in analysis.compared(self.goal) if o.metric in measured]
        if metric is not None:
            others = [self._objective(metric, measured - {first})]
        if not others or first not in measured:
            raise RaynasError(f"no trial has {first} and another metric to plot it against")
        size = analysis.generation_size(self.archive)
        return _drawn(front_figure(analysis.front(evaluations, self.goal, others[0], generation_size=size)))

    def _objective(self, metric: str, measured: set[str]) -> Objective:
        known = analysis.known_metrics(self.goal)
        if metric not in measured:
            raise UnknownNameError("metric", metric, measured)
        return Objective(metric, known[metric].mode if metric in known else "min")

    def history(self) -> Any:
        """Draw scores over trials."""
        return _drawn(history_figure(analysis.history(self._ended, self.goal)))

    def hypervolume(self) -> Any:
        """Draw the hypervolume over trials."""
        if (found := analysis.hypervolume_history(self._ended, self.goal)) is None:
            raise RaynasError("no trial finished within the limits, so there is no hypervolume")
        return _drawn(hypervolume_figure(found))

    def importance(self, metric: str | None) -> Any:
        """Draw the importance of decisions."""
        found = analysis.importance(self._ended, self.goal, self.space, metric=metric)
        if not found.decisions:
            raise RaynasError(found.reason)
        return _drawn(importance_figure(found))

    def parallel_coordinates(self) -> Any:
        """Draw trials across axes."""
        found = analysis.parallel_coordinates(self._ended, self.goal, self.space)
        if not found.lines:
            raise RaynasError("no trial finished, so there is no line to plot")
        return _drawn(parallel_figure(found, self.goal.first.mode))

    def rank_correlations(self) -> Any:
        """Draw rank correlations."""
        if not (found := analysis.cheap_scores(self.archive, self.goal)):
            raise RaynasError("no trial has a cheap score beside its final one")
        return _drawn(correlations_figure(found))

    def predictions(self) -> Any:
        """Draw predicted against measured values."""
        if not (found := analysis.predictions(self._ended, self.goal)):
            raise RaynasError("nothing was measured again at the end of the search")
        return _drawn(agreement_figure(found[0]))

    def option_shares(self) -> Any:
        """Draw shares of options."""
        size = analysis.generation_size(self.archive)
        if not (found := analysis.option_shares(self._ended, self.space, generation_size=size)):
            raise RaynasError("no decision has several options")
        return _drawn(shares_figure(found))

    def survival(self) -> Any:
        """Draw the survival of trials."""
        found = analysis.survival(self.archive)
        if not found.rungs:
            raise RaynasError("no trial was stopped early")
        return _drawn(survival_figure(found))

    @property
    def _ended(self) -> list[Evaluation]:
        if not (evaluations := self.archive.evaluations):
            raise RaynasError("no trial ended, so there is nothing to plot")
        return evaluations


def _drawn(content: Figure) -> Any:
    from plotly import graph_objects  # its import takes a quarter of a second, which only those who plot pay

    return graph_objects.Figure(content)
