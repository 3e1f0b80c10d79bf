import numpy as np
import pytest
import torch

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.columns import Columns
from raynas.metrics.latency_predictor.meta_learning import MetaTransfer, _initial, _shapes, _with_one_missing
from raynas.metrics.latency_predictor.transfer import Archive
from tests.metrics.latency_predictor.made_up import cells, described, milliseconds


def test_steps_fit_the_measured_networks_better() -> None:
    references = described(cells(8))
    columns = Columns.of(references.matrix)
    generator = torch.Generator().manual_seed(0)
    weights = _initial(_shapes(len(columns), 8), generator)
    ms = np.array(milliseconds("cpu", cells(8)))
    errors = []
    for rate in (0.0, 0.003):
        rates = [torch.full_like(weight, rate) for weight in weights]
        model = MetaTransfer(weights, rates, columns(references)[None], columns).adapt(range(8), ms)
        errors.append(np.mean((model.scale.targets(model.predict(references)) - model.scale.targets(ms)) ** 2))
    assert errors[1] < 0.9 * errors[0]


def test_at_most_one_reference_is_missing() -> None:
    is_measured = _with_one_missing(400, 6, torch.Generator().manual_seed(0))
    assert set(is_measured.sum(dim=1).tolist()) == {5.0, 6.0}


def test_archives_must_have_the_networks() -> None:
    archs = cells(8)
    ms = np.array(milliseconds("cpu", archs))
    known = Archive("cpu", described(archs), ms, ms[:2])
    lacking = Archive("gpu", described(archs), ms, np.array([1.0, np.nan]))
    with pytest.raises(SettingError, match="which gpu has not all"):
        MetaTransfer.learn([known, lacking], described(archs[:2]), np.random.default_rng(0))
