import numpy as np

from raynas.metrics.latency_predictor.linear import LinearModel
from tests.metrics.latency_predictor.made_up import cells, described, milliseconds


def test_sums_are_found_and_slow_runs_do_not_matter() -> None:
    archs, others = cells(150), cells(60, seed=5)
    ms = np.array(milliseconds("cpu", archs, noise=0.0))
    ms[::10] *= 2  # disturbed
    model = LinearModel.fit(described(archs), ms, np.random.default_rng(0))
    said, true = model.predict(described(others)), np.array(milliseconds("cpu", others, noise=0.0))
    assert (np.abs(said / true - 1) < 0.05).mean() > 0.9


def test_no_share_is_negative() -> None:
    archs = cells(60)
    model = LinearModel.fit(
        described(archs), np.random.default_rng(0).uniform(1, 9, len(archs)), np.random.default_rng(0)
    )
    assert (model.weights >= 0).all() and (model.weights > 0).any()
