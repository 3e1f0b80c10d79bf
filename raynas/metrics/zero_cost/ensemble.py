"""Several proxies as one score: the mean of the ranks that they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.errors import SettingError

ENSEMBLE = ("synflow", "naswot", "jacob_cov")
"""The proxies of the ensemble where none are named."""


def rank_ensemble(scores: Mapping[str, Sequence[float | None]]) -> NDArray[np.float64]:
    """Return each network's rank among all, from 0 (worst) to 1 (best), averaged over proxies, ``(n_networks,)``.

    Equal scores share the mean of their ranks. A network that a proxy could not score (None or NaN) is ranked behind
    all that it could.

    Args:
        scores: of the same networks in the same order, by proxy; larger is better.

    Raises:
        SettingError: if there are no proxies, or their numbers of networks differ.
    """
    columns = [_as_array(column) for column in scores.values()]
    if len({len(column) for column in columns}) != 1:
        raise SettingError(f"an ensemble needs scores of the same networks, got {[len(c) for c in columns]} of them")
    n = len(columns[0])
    ranks = [_n_below(np.sort(column), column) - 0.5 for column in columns]
    return np.asarray(np.mean(ranks, axis=0) / max(n - 1, 1))


@dataclass(frozen=True)
class RankEnsemble:
    """The rank ensemble as a score of one network: its ranks among reference networks of the same space.

    Args:
        reference: for each proxy its scores of the reference networks, in any order; larger is better.

    Raises:
        SettingError: if a proxy has no finite reference score.
    """

    reference: Mapping[str, Sequence[float | None]]

    def __post_init__(self) -> None:
        for name, column in self.reference.items():
            if not np.isfinite(_as_array(column)).any():
                raise SettingError(f"{name} gave no finite score for any of {len(column)} reference networks")

    def __call__(self, scores: Mapping[str, float]) -> float:
        """Return the share of reference networks that score lower, from 0 to 1, averaged over proxies.

        Between two reference networks it grows in proportion; beyond the best and the worst it grows and shrinks
        further, by less than one rank.

        Args:
            scores: a finite score for each proxy of the reference.
        """
        return float(np.mean([_place(_as_array(column), scores[name]) for name, column in self.reference.items()]))


def _place(column: NDArray[np.float64], score: float) -> float:
    known = np.unique(column[np.isfinite(column)])
    places = np.array([_n_below(np.sort(column), value) for value in known])
    spread = float(known[-1] - known[0]) or 1.0
    beyond = max(score - float(known[-1]), float(known[0]) - score, 0.0) / spread
    step = 0.5 * beyond / (1 + beyond)
    place = float(np.interp(score, known, places)) + (step if score > known[-1] else -step)
    return place / len(column)


def _n_below(column: NDArray[np.float64], scores: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Count the values of a sorted column below each score; equal ones count half."""
    return np.asarray(np.searchsorted(column, scores, "left") + np.searchsorted(column, scores, "right")) / 2


def _as_array(column: Sequence[float | None]) -> NDArray[np.float64]:
    values = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
    return np.where(np.isnan(values), -np.inf, values)
