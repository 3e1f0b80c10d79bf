"""Plots of a search: ``SearchResult`` asks for them, and ``raynas.views`` draws them."""

from typing import Any, Protocol

from raynas.errors import RaynasError


class Plots(Protocol):
    """The figures of one search, each a ``plotly.graph_objects.Figure``."""

    def front(self, metric: str | None) -> Any: ...

    def history(self) -> Any: ...

    def hypervolume(self) -> Any: ...

    def importance(self, metric: str | None) -> Any: ...

    def parallel_coordinates(self) -> Any: ...

    def rank_correlations(self) -> Any: ...

    def predictions(self) -> Any: ...

    def option_shares(self) -> Any: ...

    def survival(self) -> Any: ...


class Plotted:
    """Base of results that can be plotted: figures of plotly, which a notebook shows and ``write_html`` stores."""

    plots: Plots | None

    def plot_front(self, metric: str | None = None) -> Any:
        """Plot the first objective of all trials against another metric, with the Pareto front, limits and baseline.

        Args:
            metric: by default the first of the further objectives, limited metrics, latency and params that is known.

        Raises:
            RaynasError: if no trial has both metrics.
        """
        return self._plots.front(metric)

    def plot_history(self) -> Any:
        """Plot the first objective of all trials in the order of their ends, and the best so far.

        Raises:
            RaynasError: if no trial ended.
        """
        return self._plots.history()

    def plot_hypervolume(self) -> Any:
        """Plot the hypervolume that the trials so far dominate, in all objectives.

        Raises:
            RaynasError: if no trial finished within the limits.
        """
        return self._plots.hypervolume()

    def plot_importance(self, metric: str | None = None) -> Any:
        """Plot the importance of decisions and hyperparameters for a metric, by default the first objective.

        Raises:
            RaynasError: if there are too few trials to say.
        """
        return self._plots.importance(metric)

    def plot_parallel_coordinates(self) -> Any:
        """Plot each fully trained trial as a line across its decisions, costs and objective.

        Raises:
            RaynasError: if no trial finished.
        """
        return self._plots.parallel_coordinates()

    def plot_rank_correlations(self) -> Any:
        """Plot the rank correlation, with its interval, of every cheap score with the final one.

        Raises:
            RaynasError: if there is no cheap score.
        """
        return self._plots.rank_correlations()

    def plot_predictions(self) -> Any:
        """Plot values from the search, such as predicted latencies, against those measured at its end.

        Raises:
            RaynasError: if nothing was measured at the end.
        """
        return self._plots.predictions()

    def plot_option_shares(self) -> Any:
        """Plot the share of each option of each decision over time.

        Raises:
            RaynasError: if no trial ended.
        """
        return self._plots.option_shares()

    def plot_survival(self) -> Any:
        """Plot the number of trials that reached each rung of early stopping.

        Raises:
            RaynasError: if no trial was stopped early.
        """
        return self._plots.survival()

    @property
    def _plots(self) -> Plots:
        if self.plots is None:
            raise RaynasError("this result was not returned by raynas.search, which alone knows how to plot it")
        return self.plots
