import numpy as np
import pytest

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.mixture import MixtureTransfer, mixed, with_constant
from raynas.metrics.latency_predictor.transfer import Archive
from tests.metrics.latency_predictor.made_up import cells, described, milliseconds


def test_without_noise_the_weights_are_found() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((10, 3))
    roots = 20 + rows @ [0.6, 0.1, 0.3]
    weights, scale = mixed(rows, roots**2, noise=1e-6, weight_variance=1.0)
    np.testing.assert_allclose(scale.ms(with_constant(rows) @ weights), roots**2, rtol=1e-4)


def test_with_nothing_but_noise_it_is_the_mean_of_all_devices() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 4))
    weights, _ = mixed(rows, np.arange(1.0, 7.0), noise=1e9, weight_variance=1.0)
    np.testing.assert_allclose(weights, [0, 0.25, 0.25, 0.25, 0.25], atol=1e-6)


def test_references_that_an_archive_lacks_are_predicted() -> None:
    archs, references = cells(60), cells(6, seed=9)
    archives = [
        Archive(device, described(archs), np.array(milliseconds(device, archs)), np.full(6, np.nan))
        for device in ("cpu", "gpu", "dsp")
    ]
    learned = MixtureTransfer.learn(archives, described(references), np.random.default_rng(0))
    model = learned.adapt(range(6), np.array(milliseconds("npu", references)))
    said, true = model.predict(described(archs)), milliseconds("npu", archs, noise=0.0)
    assert np.corrcoef(said, true)[0, 1] > 0.9


def test_one_device_is_too_few() -> None:
    archs = cells(6)
    archive = Archive("cpu", described(archs), np.array(milliseconds("cpu", archs)), np.ones(2))
    with pytest.raises(SettingError, match="2 or more devices, got 1"):
        MixtureTransfer.learn([archive], described(archs[:2]), np.random.default_rng(0))
