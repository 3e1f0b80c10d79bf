"""Findings of a search as data: the series behind every figure, without a plotting library.

Each function reads evaluations or an archive, and returns a frozen value that TensorBoard, the report, notebooks and
trackers draw or store:

- ``front``: two metrics of all trials, their Pareto front, and its growth; ``compared`` says which metrics to compare.
- ``history``, ``hypervolume_history``: the best so far, and the hypervolume so far, after each trial.
- ``option_shares``: the shares of options of each decision, in windows of trials.
- ``survival``: the trials that reached each rung of early stopping.
- ``cheap_scores``, ``predictions``: rank correlations of cheap scores with final ones; predicted and measured values.
- ``decision_worth``: rank correlations, precision and regret of a cheap score that is to choose among candidates.
- ``importance``: of decisions for a metric.
- ``parallel_coordinates``: a line for each trial.
- ``spending``: hours of devices.
- ``shared_weights``: the training of weights that all networks share, epoch by epoch.
"""

from raynas.analysis.cheap_scores import CheapScore, cheap_scores, predictions
from raynas.analysis.columns import Column, columns_of, row_of
from raynas.analysis.decision import DecisionWorth, decision_worth
from raynas.analysis.front import SEARCH, Front, FrontAfter, Limit, TrialPoint, front, front_of
from raynas.analysis.history import History, HypervolumeHistory, history, hypervolume_history
from raynas.analysis.importance import DecisionImportance, Importance, importance
from raynas.analysis.parallel import Axis, ParallelCoordinates, parallel_coordinates
from raynas.analysis.rank_correlation import RankCorrelation, rank_correlation
from raynas.analysis.shared_weights import OptionWeights, SharedWeights, shared_weights
from raynas.analysis.shares import OptionShares, option_shares
from raynas.analysis.shown_metrics import COSTS, compared, known_metrics, own_metrics
from raynas.analysis.spending import Spending, spending
from raynas.analysis.survival import Rung, Survival, survival
from raynas.analysis.windows import Window, generation_size, windows

__all__ = [
    "COSTS",
    "SEARCH",
    "Axis",
    "CheapScore",
    "Column",
    "DecisionImportance",
    "DecisionWorth",
    "Front",
    "FrontAfter",
    "History",
    "HypervolumeHistory",
    "Importance",
    "Limit",
    "OptionShares",
    "OptionWeights",
    "ParallelCoordinates",
    "RankCorrelation",
    "Rung",
    "SharedWeights",
    "Spending",
    "Survival",
    "TrialPoint",
    "Window",
    "cheap_scores",
    "columns_of",
    "compared",
    "decision_worth",
    "front",
    "front_of",
    "generation_size",
    "history",
    "hypervolume_history",
    "importance",
    "known_metrics",
    "option_shares",
    "own_metrics",
    "parallel_coordinates",
    "predictions",
    "rank_correlation",
    "row_of",
    "shared_weights",
    "spending",
    "survival",
    "windows",
]
