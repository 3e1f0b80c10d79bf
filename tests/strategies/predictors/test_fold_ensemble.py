import numpy as np
import pytest

from raynas.strategies.predictors.fold_ensemble import N_FOLDS, FoldEnsemble, folds


def test_each_network_leaves_out_another_fifth() -> None:
    kept = folds(23, np.random.default_rng(0))
    left_out = [set(range(23)) - set(fold.tolist()) for fold in kept]
    assert sorted(i for out in left_out for i in out) == list(range(23))
    assert {len(out) for out in left_out} == {4, 5}
    assert all(len(fold) == len(set(fold.tolist())) for fold in kept)


def test_fewer_than_five_are_known_to_all() -> None:
    assert [sorted(fold.tolist()) for fold in folds(3, np.random.default_rng(0))] == [[0, 1, 2]] * N_FOLDS


def test_it_learns_in_any_unit() -> None:
    rng = np.random.default_rng(1)
    x, new = rng.normal(size=(60, 4)), rng.normal(size=(40, 4))
    y, expected = (1000 * (each[:, 0] - 2 * each[:, 1]) + 5e4 for each in (x, new))
    predicted = FoldEnsemble(x, y, np.random.default_rng(0)).predict(new)
    assert np.corrcoef(predicted, expected)[0, 1] > 0.9
    assert predicted.mean() == pytest.approx(5e4, rel=0.02)


def test_the_prediction_is_the_mean_of_networks_that_differ() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    ensemble = FoldEnsemble(x, x[:, 0], np.random.default_rng(0))
    together = ensemble.predict(x)
    alone = []
    for i in range(N_FOLDS):
        part = FoldEnsemble(x, x[:, 0], np.random.default_rng(0))
        part.networks.weights = [weight[i : i + 1].expand_as(weight) for weight in part.networks.weights]
        part.networks.biases = [bias[i : i + 1].expand_as(bias) for bias in part.networks.biases]
        alone.append(part.predict(x))
    assert together == pytest.approx(np.mean(alone, axis=0), abs=1e-5)
    assert np.std(alone, axis=0).min() > 0
