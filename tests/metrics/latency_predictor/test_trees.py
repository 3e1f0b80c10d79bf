import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor

from raynas.errors import ContentError
from raynas.metrics.latency_predictor import trees
from raynas.metrics.latency_predictor.trees import TreesModel
from tests.metrics.latency_predictor.made_up import cells, described, milliseconds


def test_arrays_predict_what_scikit_learn_does() -> None:
    networks, others = described(cells(80)), described(cells(300, seed=5))
    ms = np.array(milliseconds("cpu", cells(80)))
    model = TreesModel.fit(networks, ms, np.random.default_rng(3))
    theirs = GradientBoostingRegressor(
        loss="huber",
        init="zero",
        n_estimators=trees.N_TREES,
        max_depth=trees.DEPTH,
        learning_rate=trees.RATE,
        subsample=0.7,
        max_features=0.3,
        random_state=int(np.random.default_rng(3).integers(2**31)),
    ).fit(networks.matrix, np.log(ms) - np.log(ms).mean())
    expected = np.exp(theirs.predict(others.matrix) + np.log(ms).mean())
    np.testing.assert_allclose(model.predict(others), expected, rtol=1e-6)


def test_a_link_to_nowhere_is_refused() -> None:
    model = TreesModel.fit(described(cells(20)), np.array(milliseconds("cpu", cells(20))), np.random.default_rng(0))
    tensors = model.tensors()
    tensors["nodes"][0, 0, 2] = 1e6
    with pytest.raises(ContentError, match="link"):
        TreesModel.restored(tensors, [])
