from typing import Any

import numpy as np

from raynas.strategies.schedulers.curve_model import CurveModel

N_EPOCHS = 20


def curve(rng: np.random.Generator) -> Any:
    """Saturating, noisy; how high and how fast differ, and the fast are not the high ones."""
    high, speed = rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.5)
    epochs = np.arange(1, N_EPOCHS + 1)
    return high * (1 - np.exp(-speed * epochs)) + 0.005 * rng.standard_normal(N_EPOCHS)


def test_the_model_predicts_the_end_from_a_quarter_of_the_curve() -> None:
    """Better than the last value seen, and about as well as it says."""
    rng = np.random.default_rng(0)
    curves = np.stack([curve(rng) for _ in range(160)])
    features = np.hstack([curves[:, :5], np.diff(curves[:, :5]), np.diff(curves[:, :5], 2)])
    model = CurveModel(features[:60], curves[:60, -1])
    errors = np.array([model.predict(f)[0] for f in features[60:]]) - curves[60:, -1]
    explained = 1 - errors.var() / curves[60:, -1].var()
    assert explained > 0.8
    assert np.corrcoef(curves[60:, 4], curves[60:, -1])[0, 1] ** 2 < 0.7
    assert 0.7 < model.deviation / np.sqrt((errors**2).mean()) < 1.4


def test_models_that_do_not_agree_are_less_sure() -> None:
    rng = np.random.default_rng(7)
    features = rng.random((20, 3))
    model = CurveModel(features, features.sum(axis=1) + 0.01 * rng.standard_normal(20))
    _, near = model.predict(features.mean(axis=0))
    _, far = model.predict(features.mean(axis=0) + 20)
    assert model.deviation <= near < 2 * model.deviation and far > 3 * near
