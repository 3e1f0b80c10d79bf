"""Learning-curve stopping: the final value is predicted from the first part of the curve.

Baker, Gupta, Raskar and Naik, "Accelerating Neural Architecture Search using Performance Prediction" (ICLR workshop
2018, arXiv:1705.10823): one nu-SVR per epoch on the curve so far, its first and second differences, and what is known
of the network; a trial stops when the chance that it beats the best is small. The spread of a prediction is that of the
cross-validated errors and of an ensemble, the models of the folds. Deviations: values are logarithms of their gap to
the best, as otherwise the errors on hopeless networks, by far the largest, would be taken for doubt about good ones;
and a trial that is ahead of all that was trained to its end, at the same epoch, goes on, as no model that has seen
nothing like it can be trusted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raynas.core.goal import Objective
from raynas.strategies.base import EarlyStopping

CANDIDATES = tuple((kernel, penalty) for kernel in ("linear", "rbf") for penalty in (0.3, 10.0))
"""Kernel and C of the support vector regression; those with the smallest cross-validated error are taken."""

MAX_CURVES = 300
"""How many curves, the latest, a model learns from at most."""

GROWTH = 1.2
"""How many times more curves there must be before a model is fitted anew."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve(EarlyStopping):
    """Stop what is unlikely to end better than the best so far.

    Args:
        grace_period: epochs that every trial gets; at least 1. The paper looks at a quarter of the curve.
        interval: epochs between two looks at a trial; at least 1.
        min_curves: how many trials must have been trained fully before any is stopped; at least 4. The paper has 100.
        confidence: Delta, how likely a trial must be not to beat the best for it to be stopped; in (0.5, 1).
        costs: metrics of the network, reported with every result, that the model sees besides the curve, by their
            logarithm; those that were not reported are left out.
    """

    grace_period: int = 3
    interval: int = 1
    min_curves: int = 10
    confidence: float = 0.95
    costs: tuple[str, ...] = ("params", "macs")

    def __post_init__(self) -> None:
        if self.grace_period < 1 or self.interval < 1 or self.min_curves < 4:
            raise ValueError(
                "LearningCurve needs grace_period >= 1, interval >= 1 and min_curves >= 4, "
                f"got {self.grace_period}, {self.interval} and {self.min_curves}"
            )
        if not 0.5 < self.confidence < 1:
            raise ValueError(f"LearningCurve needs confidence in (0.5, 1), got {self.confidence}")

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        return LearningCurveScheduler(self, objective, max_fidelity)


class LearningCurveScheduler(FIFOScheduler):
    """Tune's side of ``LearningCurve``.

    Args:
        settings: when to stop.
        objective: what a curve shows.
        max_fidelity: how long a curve is; only trials that came as far are learned from.
    """

    def __init__(self, settings: LearningCurve, objective: Objective, max_fidelity: int) -> None:
        super().__init__()
        self.settings, self.objective, self.max_fidelity = settings, objective, max_fidelity
        self.curves: dict[str, dict[int, float]] = {}
        self.known: dict[str, list[float]] = {}
        self.final: dict[str, float] = {}
        self._metric: str | None = objective.metric  # where Tune looks for it
        self._models: dict[tuple[int, int], CurveModel | None] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Accept the metric that was set already."""
        return metric in (None, self._metric)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop a trial that will hardly beat the best."""
        epoch = self._note(trial.trial_id, result)
        # Of the first report: what is known of a finished trial may be more after a restart, from the archive.
        costs = [result.get(name) for name in self.settings.costs]
        numbers = [math.log1p(max(float(cost), 0.0)) for cost in costs if cost is not None]
        self.known.setdefault(trial.trial_id, numbers)
        if epoch is None or epoch < self.settings.grace_period:
            return TrialScheduler.CONTINUE
        if (epoch - self.settings.grace_period) % self.settings.interval or epoch >= self.max_fidelity:
            return TrialScheduler.CONTINUE
        if self._is_ahead(trial.trial_id, epoch) or self.chance(trial.trial_id, epoch) > 1 - self.settings.confidence:
            return TrialScheduler.CONTINUE
        return TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """A whole curve is learned from."""
        epoch = self._note(trial.trial_id, result)
        if epoch is not None and epoch >= self.max_fidelity:
            self.final[trial.trial_id] = self.curves[trial.trial_id][epoch]

    def chance(self, trial_id: str, epoch: int) -> float:
        """The probability that a trial ends better than the best so far; 1 while nothing can be predicted."""
        model = self._model(epoch)
        features = self._features(trial_id, epoch, model.scale) if model else None
        if model is None or features is None or len(features) != model.n_features:
            return 1.0
        mean, deviation = model.predict(features)
        z = (float(model.scale(np.array(max(self.final.values())))) - mean) / deviation
        return 0.5 * math.erfc(z / math.sqrt(2))

    def _is_ahead(self, trial_id: str, epoch: int) -> bool:
        """Whether a trial is at least as good as all that are finished were at this epoch, or none is."""
        finished = [self.curves[trial].get(epoch, -math.inf) for trial in self.final]
        return self.curves[trial_id][epoch] >= max(finished, default=-math.inf)

    def _note(self, trial_id: str, result: Mapping[str, Any]) -> int | None:
        """Take in a report; None if it says nothing."""
        value = float(result.get(self.objective.metric, math.nan))
        if not math.isfinite(value):
            return None
        epoch = int(result.get("training_iteration", 0))
        self.curves.setdefault(trial_id, {})[epoch] = self.objective.sign * value
        return epoch

    def _features(self, trial_id: str, epoch: int, scale: "Scale") -> NDArray[np.float64] | None:
        """The curve so far, its differences, and the costs; None if a report is missing."""
        curve = self.curves[trial_id]
        if any(e not in curve for e in range(1, epoch + 1)):
            return None
        values = scale(np.array([curve[e] for e in range(1, epoch + 1)]))
        return np.concatenate([values, np.diff(values), np.diff(values, 2), self.known.get(trial_id, [])])

    def _model(self, epoch: int) -> "CurveModel | None":
        """The model of an epoch: a function of the finished trials alone, so that a replay comes to the same."""
        size = _rung(len(self.final), self.settings.min_curves)
        if (epoch, size) not in self._models:
            self._models = {key: model for key, model in self._models.items() if key[0] != epoch}
            self._models[epoch, size] = self._fitted(epoch, size)
        return self._models[epoch, size]

    def _fitted(self, epoch: int, size: int) -> "CurveModel | None":
        trials = list(self.final.items())[:size][-MAX_CURVES:]
        scale = gap_scale(np.array([final for _, final in trials])) if trials else _as_it_is
        rows = [(self._features(trial, epoch, scale), float(scale(np.array(final)))) for trial, final in trials]
        whole = [(features, final) for features, final in rows if features is not None]
        width = max((len(features) for features, _ in whole), default=0)
        alike = [(features, final) for features, final in whole if len(features) == width]
        if len(alike) < self.settings.min_curves:
            return None
        features, targets = zip(*alike, strict=True)
        return CurveModel(np.stack(features), np.array(targets), scale)


def _rung(n: int, first: int) -> int:
    """The largest of ``first``, ``first`` * GROWTH, ... that is not above n; 0 if there is none."""
    size, following = 0, first
    while following <= n:
        size, following = following, max(following + 1, int(following * GROWTH))
    return size


Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps values of a curve, of any shape, to those that a model sees; rising."""


def gap_scale(finals: NDArray[np.float64]) -> Scale:
    """Logarithms of the gap to the best of ``finals``, in units of the median gap; beyond the best likewise."""
    gaps = finals.max() - finals
    unit = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    return partial(_log_gap, float(finals.max()), unit)


def _log_gap(best: float, unit: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
    ahead = (values - best) / unit
    return np.asarray(np.sign(ahead) * np.log1p(np.abs(ahead)))


def _as_it_is(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


class CurveModel:
    """A nu-SVR, and how far it is off on curves that it has not seen.

    Args:
        features: ``(n, n_features)``.
        targets: final values, ``(n,)``.
        scale: what features and targets went through.
    """

    def __init__(self, features: NDArray[np.float64], targets: NDArray[np.float64], scale: Scale = _as_it_is) -> None:
        self.n_features, self.scale = features.shape[1], scale
        self._centre, self._scale = features.mean(axis=0), _spread(features)
        self._offset, self._unit = float(targets.mean()), float(_spread(targets))
        x, y = (features - self._centre) / self._scale, (targets - self._offset) / self._unit
        with _unchecked():
            tried = [_cross_validated(x, y, *candidate) for candidate in CANDIDATES]
            best = min(range(len(tried)), key=lambda i: tried[i][0])
            error, self._folds = tried[best]
            self._svr = _svr(*CANDIDATES[best]).fit(x, y)
        self.deviation = max(error * self._unit, 1e-12)

    def predict(self, features: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
        """The final value of a curve, and the standard deviation of that, both on ``scale``.

        The deviation is that of the errors and, where the models of the folds do not agree, of their predictions.

        Args:
            features: ``(n_features,)``.
        """
        x = (np.asarray(features) - self._centre)[None] / self._scale
        with _unchecked():
            spread = self._unit * float(np.std([fold.predict(x)[0] for fold in self._folds]))
            mean = self._offset + self._unit * float(self._svr.predict(x)[0])
        return mean, math.hypot(self.deviation, spread)


def _spread(values: NDArray[np.float64]) -> Any:
    deviation = values.std(axis=0)
    return np.where(deviation > 1e-12, deviation, 1.0)


def _cross_validated(
    x: NDArray[np.float64], y: NDArray[np.float64], kernel: str, penalty: float
) -> tuple[float, list[Any]]:
    """Root of the mean squared error on five folds, and the model of each."""
    n_folds = min(5, len(y))
    errors, models = np.empty(len(y)), []
    for fold in range(n_folds):
        left_out = np.arange(len(y)) % n_folds == fold
        model = _svr(kernel, penalty).fit(x[~left_out], y[~left_out])
        errors[left_out] = model.predict(x[left_out]) - y[left_out]
        models.append(model)
    return float(np.sqrt((errors**2).mean())), models


def _unchecked() -> Any:
    """scikit-learn's checks of settings and numbers take longer than a fit on so little data."""
    from sklearn import config_context

    return config_context(assume_finite=True, skip_parameter_validation=True)


def _svr(kernel: str, penalty: float) -> Any:
    from sklearn.svm import NuSVR  # Only the driver needs it, workers import this package too.

    return NuSVR(kernel=kernel, C=penalty, nu=0.5, gamma="scale")
