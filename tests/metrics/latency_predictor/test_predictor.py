import pickle

import numpy as np
import pytest

import raynas
from raynas.errors import SettingError, UnknownNameError
from raynas.metrics.expected_cost import fit_cost_table, index_options
from raynas.metrics.latency_predictor import MODELS, TRANSFERS, LatencyPredictor, choose_networks, prediction_error
from raynas.metrics.measurer import Measurer
from raynas.oneshot.differentiable.costs import ExpectedCost
from tests.metrics.latency_predictor.made_up import SPACE, cells, measured, milliseconds

OTHERS = cells(60, seed=5)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_predicts_other_networks_and_states_its_error(model: str) -> None:
    predictor = LatencyPredictor.fit(SPACE, measured("cpu", cells(120)), model, n_folds=3)
    found = predictor.predict(OTHERS)
    true = prediction_error(found.ms, milliseconds("cpu", OTHERS, noise=0.0), "others")
    assert true.spearman > 0.9
    assert predictor.error.how == "3-fold cross-validation" and predictor.error.n == 120
    assert abs(predictor.error.spearman - true.spearman) < 0.05
    assert str(predictor.error) in str(found) and str(predictor.error) in str(predictor)


@pytest.mark.parametrize("method", TRANSFERS)
def test_ten_measurements_suffice_with_other_devices(method: str) -> None:
    archives = [measured(device, cells(80)) for device in ("cpu", "gpu", "dsp", "fpga")]
    chosen = choose_networks(SPACE, archives)
    predictor = LatencyPredictor.transfer(SPACE, archives, measured("npu", chosen), method)
    true = prediction_error(predictor.predict(OTHERS).ms, milliseconds("npu", OTHERS, noise=0.0), "others")
    assert true.spearman > {"mixture": 0.95, "help": 0.5, "nasflat": 0.7}[method]
    assert (predictor.error.n, predictor.error.how) == (10, "each left out in turn")
    assert predictor.provenance == {"backend": "made up", "archives": "cpu, gpu, dsp, fpga"}


def test_its_metric_is_measured_like_any_other() -> None:
    predictor = LatencyPredictor.fit(SPACE, measured("cpu", cells(60)))
    metric = predictor.metric()
    assert (metric.name, metric.unit, metric.mode, metric.needs) == ("latency_ms@cpu", "ms", "min", "shapes")
    assert f"{predictor.error.within:.0%} within 10%" in metric.title
    again = pickle.loads(pickle.dumps(metric))  # as it travels to a trial
    value = Measurer(SPACE).value(again, OTHERS[0])
    assert value == pytest.approx(predictor.predict(OTHERS[:1]).ms[0])
    assert predictor.metric("latency_ms").name == "latency_ms"


def test_its_metric_is_an_expected_cost() -> None:
    predictor = LatencyPredictor.fit(SPACE, measured("cpu", cells(120)), "linear")
    cost = ExpectedCost(metric=predictor.metric(), target=5.0)
    assert cost.name == "latency_ms@cpu"
    table = cost.table(SPACE, seed=0)
    said = [table.of(index_options(SPACE, arch)) for arch in OTHERS]
    np.testing.assert_allclose(said, predictor.predict(OTHERS).ms, rtol=0.05)
    assert fit_cost_table(SPACE, predictor.metric()).error < 0.05


def test_its_metric_limits_a_search() -> None:
    metric = LatencyPredictor.fit(SPACE, measured("cpu", cells(60))).metric()
    goal = raynas.metrics.read_goal("accuracy", "latency_ms@cpu <= 20", [metric])
    measurer = Measurer(SPACE)
    values = [measurer.value(metric, arch) for arch in OTHERS]
    kept = [goal.constraints[0].limit >= value for value in values]
    assert 0 < sum(kept) < len(kept)


def test_settings_are_checked() -> None:
    latencies = measured("cpu", cells(6))
    with pytest.raises(UnknownNameError, match="latency model 'forest'"):
        LatencyPredictor.fit(SPACE, latencies, "forest")
    with pytest.raises(UnknownNameError, match="transfer method 'copy'"):
        LatencyPredictor.transfer(SPACE, [latencies], latencies, "copy")
    with pytest.raises(SettingError, match="n_folds must be from 2 to half of the 6 measurements, got 5"):
        LatencyPredictor.fit(SPACE, latencies)
    with pytest.raises(SettingError, match="4 or more measured networks, got 3"):
        LatencyPredictor.transfer(SPACE, [latencies], measured("gpu", cells(3)))
