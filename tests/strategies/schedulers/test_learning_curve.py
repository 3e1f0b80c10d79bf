import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.goal import Objective
from raynas.metrics import METRICS
from raynas.strategies import LearningCurve
from raynas.strategies.schedulers.curve_model import CurveModel
from raynas.strategies.schedulers.learning_curve import LearningCurveScheduler

N_EPOCHS = 20


def curve(rng: np.random.Generator) -> Any:
    """Saturating, noisy; how high and how fast differ, and the fast are not the high ones."""
    high, speed = rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.5)
    epochs = np.arange(1, N_EPOCHS + 1)
    return high * (1 - np.exp(-speed * epochs)) + 0.005 * rng.standard_normal(N_EPOCHS)


def made(metric: str = "accuracy", **settings: Any) -> LearningCurveScheduler:
    scheduler = LearningCurve(**settings).scheduler(Objective.parse(metric, METRICS), N_EPOCHS)
    assert isinstance(scheduler, LearningCurveScheduler)
    return scheduler


def trained(scheduler: LearningCurveScheduler, name: str, values: NDArray[np.float64], **costs: float) -> int:
    """How many epochs the trial got."""
    trial = Trial("toy", trial_id=name, stub=True)
    controller: Any = None
    for epoch, value in enumerate(values, start=1):
        result = {scheduler.objective.metric: value, "training_iteration": epoch, **costs}
        if epoch == N_EPOCHS or scheduler.on_trial_result(controller, trial, result) == TrialScheduler.STOP:
            scheduler.on_trial_complete(controller, trial, result)
            return epoch
    raise AssertionError


def test_the_chance_is_that_of_a_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = made()
    scheduler.final = {"best": 0.8}
    scheduler.curves = {"x": {1: 0.1, 2: 0.2, 3: 0.3}}
    model = CurveModel(np.random.default_rng(0).random((5, 6)), np.arange(5.0))
    monkeypatch.setattr(scheduler, "_model", lambda epoch: model)
    for mean, deviation, expected in ((0.8, 0.1, 0.5), (0.6, 0.1, 0.0228), (0.9, 0.1, 0.8413)):
        monkeypatch.setattr(model, "predict", lambda f, m=mean, d=deviation: (m, d))
        assert scheduler.chance("x", 3) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_saves_most_epochs_and_keeps_the_best(metric: str) -> None:
    rng = np.random.default_rng(1)
    sign = 1 if metric == "accuracy" else -1
    curves = [sign * curve(rng) for _ in range(80)]
    scheduler = made(metric)
    epochs = [trained(scheduler, str(i), values) for i, values in enumerate(curves)]
    assert epochs[:10] == [N_EPOCHS] * 10
    assert np.mean(epochs[10:]) < N_EPOCHS / 2
    best = int(np.argmax([sign * values[-1] for values in curves]))
    reached = max(sign * values[-1] for values, n in zip(curves, epochs, strict=True) if n == N_EPOCHS)
    assert epochs[best] == N_EPOCHS or sign * curves[best][-1] - reached < 0.01


def test_more_confidence_costs_more_epochs() -> None:
    total = []
    for confidence in (0.6, 0.999):
        rng = np.random.default_rng(2)
        scheduler = made(confidence=confidence)
        total.append(sum(trained(scheduler, str(i), curve(rng)) for i in range(40)))
    assert total[0] < total[1]


def test_grace_period_and_interval() -> None:
    rng = np.random.default_rng(3)
    scheduler = made(grace_period=4, interval=3, min_curves=12, confidence=0.8)
    epochs = [trained(scheduler, str(i), curve(rng)) for i in range(50)]
    assert epochs[:12] == [N_EPOCHS] * 12
    assert set(epochs) - {N_EPOCHS} <= {4, 7, 10, 13, 16, 19} and len(set(epochs)) > 1


def test_what_is_known_of_the_network_is_seen() -> None:
    """Curves that look alike in the beginning and end by their size."""
    deviations = []
    for costs in (("params",), ()):
        rng = np.random.default_rng(4)
        scheduler = made(costs=costs, min_curves=25)
        for i in range(25):
            size = float(rng.uniform(2, 6))
            values = np.concatenate([np.full(5, 0.1), np.full(15, 0.1 * size)]) + 1e-4 * rng.standard_normal(N_EPOCHS)
            trained(scheduler, str(i), values, params=math.exp(size))
        model = scheduler._model(4)
        assert model is not None and model.n_features == 4 + 3 + 2 + len(costs)
        deviations.append(model.deviation)
    assert deviations[0] < deviations[1] / 3


def test_ahead_of_the_best_goes_on_whatever_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = made(min_curves=4)
    monkeypatch.setattr(scheduler, "chance", lambda trial, epoch: 0.0)
    flat = np.full(N_EPOCHS, 0.5)
    assert trained(scheduler, "first", flat) == N_EPOCHS
    assert trained(scheduler, "better", flat + 0.1) == N_EPOCHS
    assert trained(scheduler, "worse", flat) == 3


def test_ahead_is_of_all_that_were_trained_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best may have been slow at first: that others were faster than it says nothing new."""
    scheduler = made(min_curves=4)
    monkeypatch.setattr(scheduler, "chance", lambda trial, epoch: 0.0)
    late = np.concatenate([np.full(10, 0.1), np.full(10, 0.9)])
    assert trained(scheduler, "fast", np.full(N_EPOCHS, 0.5)) == N_EPOCHS
    monkeypatch.setattr(scheduler, "chance", lambda trial, epoch: 1.0)
    assert trained(scheduler, "best", late) == N_EPOCHS
    monkeypatch.setattr(scheduler, "chance", lambda trial, epoch: 0.0)
    assert trained(scheduler, "between", np.full(N_EPOCHS, 0.3)) == 3
    assert trained(scheduler, "fastest", np.full(N_EPOCHS, 0.6)) == 11, "where it falls behind the best"


def test_hopeless_networks_cast_no_doubt_on_good_ones() -> None:
    """A third cannot be predicted and ends far below; what ends a point below the best is told from it all the same."""
    rng = np.random.default_rng(6)
    chances = []
    for log_gaps in (True, False):
        scheduler = made(min_curves=30)
        for i in range(30):
            end = rng.uniform(0.1, 0.6) if i % 3 == 0 else rng.uniform(0.9, 0.95)
            start = 0.3 if i % 3 == 0 else end - 0.2
            trained(scheduler, str(i), np.concatenate([np.full(10, start), np.full(10, end)]))
        scheduler.curves["x"] = {epoch: 0.91 - 0.2 for epoch in range(1, 6)}
        if not log_gaps:
            features = [scheduler._features(str(i), 5, lambda values: values) for i in range(30)]
            model = CurveModel(np.stack([f for f in features if f is not None]), np.array([*scheduler.final.values()]))
            scheduler._models[5, 30] = model
        chances.append(scheduler.chance("x", 5))
    assert chances[0] < 0.05 < 0.2 < chances[1]


def test_gaps_and_nan_are_not_judged() -> None:
    scheduler = made(min_curves=4)
    rng = np.random.default_rng(5)
    for i in range(6):
        trained(scheduler, str(i), curve(rng))
    trial, controller = Trial("toy", trial_id="x", stub=True), None
    for epoch, value in ((1, 0.0), (3, 0.0), (4, math.nan), (5, 0.0)):
        result = {"accuracy": value, "training_iteration": epoch}
        assert scheduler.on_trial_result(controller, trial, result) == TrialScheduler.CONTINUE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grace_period": 0}, "got 0, 1 and 10"),
        ({"interval": 0}, "got 3, 0 and 10"),
        ({"min_curves": 3}, "min_curves >= 4, got 3, 1 and 3"),
        ({"confidence": 1.0}, r"confidence in \(0.5, 1\), got 1.0"),
        ({"confidence": 0.5}, "got 0.5"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearningCurve(**settings)
