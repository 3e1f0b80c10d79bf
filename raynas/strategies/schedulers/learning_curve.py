"""Learning-curve stopping: stop trials whose predicted final value will hardly be the best.

Baker, Gupta, Raskar and Naik, "Accelerating Neural Architecture Search using Performance Prediction" (ICLR workshop
2018, arXiv:1705.10823): one nu-SVR per epoch on the curve so far, its first and second differences, and the costs of
the network; a trial stops when its probability of exceeding the best is small. The standard deviation of a prediction
is that of the cross-validated errors and of an ensemble, the models of the folds. Deviations: values are log regrets,
as otherwise the errors on hopeless networks, by far the largest, would count as uncertainty about good ones; and a
trial that is ahead of all finished trials, at the same epoch, continues, as no model of worse curves can be trusted.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raynas.core.goal import Objective
from raynas.core.outcome import Result
from raynas.errors import SettingError
from raynas.strategies.base import EarlyStopping
from raynas.strategies.schedulers.curve_model import CurveModel, Scale, gap_scale, identity

MAX_CURVES = 300
"""Maximum number of curves, the latest, that a model learns from."""

GROWTH = 1.2
"""Factor by which the number of curves grows between two fits of a model."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve(EarlyStopping):
    """Stop trials that are unlikely to end better than the best so far.

    Args:
        grace_period: epochs that every trial gets; at least 1. The paper looks at a quarter of the curve.
        interval: epochs between two looks at a trial; at least 1.
        min_curves: number of fully trained trials before any is stopped; at least 4. The paper has 100.
        confidence: Delta, the probability of not exceeding the best at which a trial is stopped; in (0.5, 1).
        costs: metrics of the network, reported with every result, whose logarithms are further features; those that
            were not reported are left out.
    """

    grace_period: int = 3
    interval: int = 1
    min_curves: int = 10
    confidence: float = 0.95
    costs: tuple[str, ...] = ("params", "macs")

    def __post_init__(self) -> None:
        if self.grace_period < 1 or self.interval < 1 or self.min_curves < 4:
            raise SettingError(
                "LearningCurve needs grace_period >= 1, interval >= 1 and min_curves >= 4, "
                f"got {self.grace_period}, {self.interval} and {self.min_curves}"
            )
        if not 0.5 < self.confidence < 1:
            raise SettingError(f"LearningCurve needs confidence in (0.5, 1), got {self.confidence}")

    @property
    def metrics(self) -> tuple[str, ...]:
        return self.costs

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        return LearningCurveScheduler(self, objective, max_fidelity)


class LearningCurveScheduler(FIFOScheduler):
    """Tune's side of ``LearningCurve``.

    Args:
        settings: of the rule.
        objective: the metric of the curves.
        max_fidelity: length of a curve; the models learn from trials that reached it.
    """

    def __init__(self, settings: LearningCurve, objective: Objective, max_fidelity: int) -> None:
        super().__init__()
        self.settings, self.objective, self.max_fidelity = settings, objective, max_fidelity
        self.curves: dict[str, dict[int, float]] = {}
        self.known: dict[str, list[float]] = {}
        self.final: dict[str, float] = {}
        self._metric: str | None = objective.metric  # where Tune looks for it
        self._models: dict[tuple[int, int], CurveModel | None] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: object) -> bool:
        """Accept the metric that was set already."""
        return metric in (None, self._metric)

    def on_trial_result(self, tune_controller: object, trial: Trial, result: Result) -> str:
        """Stop a trial that will hardly exceed the best."""
        epoch = self._note(trial.trial_id, result)
        # Of the first report: after a restart, the archive has more costs of finished trials.
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

    def on_trial_complete(self, tune_controller: object, trial: Trial, result: Result) -> None:
        """Add a complete curve to those that models learn from."""
        epoch = self._note(trial.trial_id, result)
        if epoch is not None and epoch >= self.max_fidelity:
            self.final[trial.trial_id] = self.curves[trial.trial_id][epoch]

    def chance(self, trial_id: str, epoch: int) -> float:
        """Return the probability that a trial ends better than the best so far; 1 without a prediction."""
        model = self._model(epoch)
        features = self._features(trial_id, epoch, model.scale) if model else None
        if model is None or features is None or len(features) != model.n_features:
            return 1.0
        mean, deviation = model.predict(features)
        z = (float(model.scale(np.array(max(self.final.values())))) - mean) / deviation
        return 0.5 * math.erfc(z / math.sqrt(2))

    def _is_ahead(self, trial_id: str, epoch: int) -> bool:
        """Return True if a trial is at least as good as all finished trials were at this epoch."""
        finished = [self.curves[trial].get(epoch, -math.inf) for trial in self.final]
        return self.curves[trial_id][epoch] >= max(finished, default=-math.inf)

    def _note(self, trial_id: str, result: Result) -> int | None:
        """Record a report; return its epoch, None if it has no finite value."""
        value = float(result.get(self.objective.metric, math.nan))
        if not math.isfinite(value):
            return None
        epoch = int(result.get("training_iteration", 0))
        self.curves.setdefault(trial_id, {})[epoch] = self.objective.sign * value
        return epoch

    def _features(self, trial_id: str, epoch: int, scale: Scale) -> NDArray[np.float64] | None:
        """Return the curve so far, its differences, and the costs; None if a report is missing."""
        curve = self.curves[trial_id]
        if any(e not in curve for e in range(1, epoch + 1)):
            return None
        values = scale(np.array([curve[e] for e in range(1, epoch + 1)]))
        return np.concatenate([values, np.diff(values), np.diff(values, 2), self.known.get(trial_id, [])])

    def _model(self, epoch: int) -> CurveModel | None:
        """Return the model of an epoch, a function of the finished trials alone, so that a replay repeats it."""
        size = _rung(len(self.final), self.settings.min_curves)
        if (epoch, size) not in self._models:
            self._models = {key: model for key, model in self._models.items() if key[0] != epoch}
            self._models[epoch, size] = self._fitted(epoch, size)
        return self._models[epoch, size]

    def _fitted(self, epoch: int, size: int) -> CurveModel | None:
        trials = list(self.final.items())[:size][-MAX_CURVES:]
        scale = gap_scale(np.array([final for _, final in trials])) if trials else identity
        rows = [(self._features(trial, epoch, scale), float(scale(np.array(final)))) for trial, final in trials]
        whole = [(features, final) for features, final in rows if features is not None]
        width = max((len(features) for features, _ in whole), default=0)
        alike = [(features, final) for features, final in whole if len(features) == width]
        if len(alike) < self.settings.min_curves:
            return None
        features, targets = zip(*alike, strict=True)
        return CurveModel(np.stack(features), np.array(targets), scale)


def _rung(n: int, first: int) -> int:
    """Return the largest of ``first``, ``first`` * GROWTH, ... that is not above n; 0 if there is none."""
    size, following = 0, first
    while following <= n:
        size, following = following, max(following + 1, int(following * GROWTH))
    return size
