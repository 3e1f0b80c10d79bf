"""Schedule of fits: a predictor is fitted again each time that observations have grown by a factor."""

from raynas.core.goal import Goal

GROWTH = 1.02
"""Default factor, which keeps a long search (and its replay) affordable: 50 fits for the first 50 trials, some 230 more
until 5,000."""


class RefitSchedule:
    """Asks for a fit at the start, after growth of the observations, and when the goal has changed.

    Args:
        growth: factor by which the number of observations grows between two fits; at least 1.
    """

    def __init__(self, growth: float = GROWTH) -> None:
        self.growth = growth
        self.n_fitted = 0
        """Number of observations at the last fit."""
        self._goal: Goal | None = None

    def is_due(self, n_observed: int, goal: Goal) -> bool:
        """Return True if the predictor should be fitted before the next proposal."""
        return goal != self._goal or n_observed >= self.n_fitted * self.growth

    def note_fit(self, n_observed: int, goal: Goal) -> None:
        """Record a fit to so many observations, for this goal."""
        self.n_fitted, self._goal = n_observed, goal
