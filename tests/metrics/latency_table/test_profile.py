"""A profile: operations timed, resumed, summed and compared with whole networks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import raynas
from raynas.core.measurement import Measured
from raynas.core.metric import Candidate
from raynas.errors import RaynasError, SettingError
from raynas.metrics import Measurer
from raynas.metrics.expected_cost import fit_cost_table
from raynas.metrics.latency_table import LatencyTable, load_table
from raynas.metrics.latency_table.profile import profile_latency
from raynas.nn import ModelSpace
from tests.metrics.latency_table.nets import Net, Watch, small_space


def watched(monkeypatch: pytest.MonkeyPatch, limit: int = 10**6) -> Watch:
    return Watch(limit).replace(monkeypatch)


def profile(path: Path, **given: Any) -> LatencyTable:
    return profile_latency(small_space(), path=path, **{"n_corrected": 5, "n_left_out": 8, **given})


def test_each_operation_is_timed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watch = watched(monkeypatch)
    steps: list[tuple[str, int, int]] = []
    table = profile(tmp_path / "table.json", report=lambda *step: steps.append(step))
    titles = sorted(operation.title for operation in table.operations.values())
    assert titles == ["Linear 1x4", "Linear 1x8", "Residual 1x8", "Residual 1x8", "Residual 1x8"]
    assert len(watch.modules) == 5 + 5 + 8 and sum(isinstance(m, Net) for m in watch.modules) == 13
    assert [step for step in steps if step[0] == "operations"][-1] == ("operations", 5, 5)
    assert steps[-1] == ("networks left out", 8, 8)
    assert table.complete and len(table.corrected_by) == 5
    assert not {n.arch for n in table.corrected_by} & {n.arch for n in table.left_out}


def test_no_network_need_be_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    table = profile(tmp_path / "table.json", n_left_out=0)
    assert (len(table.corrected_by), table.left_out, table.error) == (5, [], None)
    assert table.metric().title == "latency, predicted"


def test_networks_of_an_earlier_run_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    first = profile(tmp_path / "table.json")
    watch = watched(monkeypatch)
    assert profile(tmp_path / "table.json", n_left_out=2) == first
    more = profile(tmp_path / "table.json", n_corrected=7)
    assert not {n.arch for n in more.corrected_by} & {n.arch for n in more.left_out}
    assert len(watch.modules) == 2  # those that were left out correct the sums now, and two others take their place


def test_a_small_space_is_divided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    table = profile(tmp_path / "table.json", n_corrected=400, n_left_out=400)
    assert len(table.corrected_by) == len(table.left_out) == 128


def test_the_sum_of_the_table_is_the_latency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    table = profile(tmp_path / "table.json")
    assert table.error is not None and table.plain_error is not None
    assert (table.error.n, table.error.within) == (8, 1.0) and table.error.spearman > 0.95
    assert table.plain_error.bias > abs(table.error.bias)  # each part has an overhead that a network has once
    assert "5 operations of Net" in str(table) and "networks left out, n = 8" in str(table)


def test_interrupted_it_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    for limit, n_known in ((2, 2), (2, 4), (3, 5)):
        watched(monkeypatch, limit)
        with pytest.raises(KeyboardInterrupt):
            profile(path)
        assert len(load_table(path).operations) == n_known
    assert len(load_table(path).corrected_by) == 2
    watch = watched(monkeypatch)
    table = profile(path)
    assert len(watch.modules) == 3 + 8
    watched(monkeypatch, 0)
    assert profile(path) == table == load_table(path)
    (tmp_path / "new").mkdir()
    watched(monkeypatch)
    assert profile(tmp_path / "new" / "table.json") == table


def test_a_file_of_something_else_is_not_overwritten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    path = tmp_path / "table.json"
    profile(path)
    before = path.read_text()
    with pytest.raises(RaynasError, match=r"is of another measurement .*batch_size=2.*: write to another file"):
        profile(path, metric=raynas.latency(batch_size=2))
    with pytest.raises(RaynasError, match="is of another space"):
        profile_latency(ModelSpace(Net, input_shape=(3, 4)), path=path)
    assert path.read_text() == before


def test_it_measures_with_a_metric_of_latency(tmp_path: Path) -> None:
    other = raynas.Metric(name="latency_ms", mode="min", measure=lambda candidate: 1.0)
    with pytest.raises(SettingError, match=r"a metric of raynas\.latency"):
        profile(tmp_path / "table.json", metric=other)
    with pytest.raises(SettingError, match="n_left_out must be a whole number"):
        profile(tmp_path / "table.json", n_left_out=-1)


def test_the_table_is_a_metric(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    table = profile(tmp_path / "table.json")
    metric = raynas.latency(table=tmp_path / "table.json")
    assert metric.name == "latency_ms" and metric.needs == "shapes"
    assert metric.title == "latency, predicted (100% within 10%)"
    assert raynas.latency(device="jetson", table=tmp_path / "table.json").name == "latency_ms@jetson"
    space = small_space()
    known = table.left_out[0]
    value = Measurer(space).value(metric, known.arch)
    assert isinstance(value, Measured) and value == pytest.approx(known.ms, rel=0.1)
    assert value.provenance.reliable and value.provenance.facts["predicted"] == "sum of a table of 5 operations"
    assert fit_cost_table(space, metric).error < 0.02  # the expected cost of a differentiable search
    with pytest.raises(SettingError, match="says itself how they were measured"):
        raynas.latency("eager", table=tmp_path / "table.json")


def test_networks_of_other_operations_are_in_doubt_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched(monkeypatch)
    table = profile(tmp_path / "table.json")

    space = small_space()

    def value(model: nn.Module) -> Measured:
        return table.measure(
            Candidate(
                space=space, arch=space.default, device=torch.device("meta"), build=lambda: model, count=lambda name: 0
            )
        )

    known = space.build(table.left_out[0].arch)
    partly = value(nn.Sequential(*known.children(), nn.Linear(2, 3)))
    assert "are not in the table" in partly.provenance.doubt
    with pytest.raises(RaynasError, match="lacks operations that take 100% of the time of this network"):
        value(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6)))


def test_it_measures_for_real(tmp_path: Path) -> None:
    table = profile(tmp_path / "table.json", n_corrected=2, n_left_out=2)
    assert table.facts["backend"] == "eager" and all(o.ms > 0 for o in table.operations.values())
    rng = np.random.default_rng(0)
    space = small_space()
    assert Measurer(space).value(table.metric(), space.sample(rng)) > 0
