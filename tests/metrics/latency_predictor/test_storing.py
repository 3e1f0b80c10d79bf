import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from raynas.errors import RaynasError, SettingError
from raynas.metrics import Measurer
from raynas.metrics.latency import latency
from raynas.metrics.latency_predictor import (
    MODELS,
    TRANSFERS,
    LatencyPredictor,
    StoredPredictor,
    load_predictor,
    read_predictor,
    save_predictor,
)
from raynas.metrics.latency_predictor.storing import _KEY
from raynas.search_spaces import NASBench201
from tests.metrics.latency_predictor.made_up import SPACE, cells, measured


def fitted(name: str) -> LatencyPredictor:
    archs = cells(30)
    if name in MODELS:
        return LatencyPredictor.fit(SPACE, measured("cpu", archs), name, n_folds=2)
    archives = [measured(device, archs) for device in ("cpu", "gpu", "dsp")]
    return LatencyPredictor.transfer(SPACE, archives, measured("npu", archs[:5]), name)


@pytest.mark.parametrize("name", [*MODELS, *TRANSFERS])
def test_every_model_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    predictor, path = fitted(name), tmp_path / "npu.safetensors"
    save_predictor(predictor, path)
    again = load_predictor(path, SPACE)
    np.testing.assert_allclose(again.predict(cells(20, 5)).ms, predictor.predict(cells(20, 5)).ms, rtol=1e-6)
    assert (again.error, again.device, again.name) == (predictor.error, predictor.device, predictor.name)
    assert again.provenance == predictor.provenance


def test_a_file_of_another_space_is_refused(tmp_path: Path) -> None:
    save_predictor(fitted("linear"), tmp_path / "p")
    with pytest.raises(RaynasError, match="another space or size"):
        load_predictor(tmp_path / "p", NASBench201())


def written(tmp_path: Path, **changes: object) -> Path:
    """Write a predictor with another description; a tensor for "tensors"."""
    path = tmp_path / "p.safetensors"
    predictor = fitted("linear")
    save_predictor(predictor, path)
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    description = json.loads(header["__metadata__"][_KEY]) | changes
    tensors = description.pop("tensors", None) or load_file(path)
    save_file(tensors, path, {_KEY: json.dumps(description)})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "forest"}, "'forest' is none of"),
        ({"name": "gp"}, "tensor"),
        ({"error": None}, "error"),
        ({"error": {"n": 3, "within": 7, "spearman": 0, "kendall": 0, "bias": 0, "how": ""}}, "within"),
        ({"labels": 3}, "labels"),
        ({"tensors": {"weights": np.ones(3)}}, "do not fit the features"),
        ({"tensors": {"weights": np.array([np.nan])}}, "not finite"),
    ],
)
def test_a_changed_file_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(RaynasError, match=message):
        load_predictor(path, SPACE)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"no tensors at all")
    with pytest.raises(RaynasError, match="no latency predictor"):
        load_predictor(path, SPACE)
    save_file({"weights": np.ones(3)}, path)
    with pytest.raises(RaynasError, match="no description"):
        load_predictor(path, SPACE)
    with pytest.raises(RaynasError, match="cannot read the latency predictor"):
        load_predictor(tmp_path / "missing", SPACE)


def test_a_file_is_a_metric_before_the_space_is_known(tmp_path: Path) -> None:
    predictor, path = fitted("linear"), tmp_path / "p.safetensors"
    save_predictor(predictor, path)
    metric = latency(predictor=path, device="npu")
    assert (metric.name, metric.needs, metric.at_end) == ("latency_ms@npu", "shapes", None)
    assert "cpu, predicted (" in metric.title
    stored = metric.measure
    assert isinstance(stored, StoredPredictor) and stored.identity == read_predictor(path).identity
    assert str(stored) == str(predictor) and "2-fold cross-validation" in str(stored)
    for measurer in (Measurer(SPACE), pickle.loads(pickle.dumps(Measurer(SPACE)))):
        value = measurer.value(pickle.loads(pickle.dumps(metric)), cells(1)[0])
        assert value == pytest.approx(predictor.predict(cells(1)).ms[0], rel=1e-6)
    with pytest.raises(RaynasError, match="another space or size"):
        Measurer(NASBench201()).value(metric, NASBench201().default)
    measured_at_end = latency("onnxruntime", predictor=path).at_end
    assert measured_at_end is not None and measured_at_end.measure == latency("onnxruntime").measure


def test_what_cannot_be_a_predictor(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="cannot read the latency predictor 'none'"):
        latency(predictor="none")
    with pytest.raises(SettingError, match="from a table or from a predictor"):
        latency(predictor="none", table="none")
    (tmp_path / "p").write_bytes(b"no tensors")
    with pytest.raises(RaynasError, match="is no latency predictor: "):
        latency(predictor=tmp_path / "p")
