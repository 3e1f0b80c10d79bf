"""The HParams page as TensorBoard reads it."""

from pathlib import Path
from typing import Any

import pytest
from ray import tune
from tensorboard.plugins.hparams import api_pb2

from raynas.core.archive import Archive
from raynas.core.decision import Categorical
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from raynas.views.tensorboard import TensorBoardLog
from raynas.views.tensorboard.hparam_groups import groups_of
from raynas.views.tensorboard.hparams import Columns
from tests.core.decided import Decided
from tests.views.tensorboard.logs import CONV, CONV_ARCH, SPACE, add, end, hparams_page, propose, text, write

POOL = {"arch": {"op": "pool", "norm": "batch", "skip": False, "depth": 4}, "lr": 0.1, "schedule": "cosine"}


def values(group: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}


def test_the_hparams_page_has_every_decision_and_metric(tmp_path: Path) -> None:
    archive = Archive()
    propose(archive, "00001", CONV)
    end(archive, "00001", 3, accuracy=0.9, params=1e6)
    propose(archive, "00002", POOL)
    end(archive, "00002", 1, "stopped", accuracy=0.5, params=2e6)
    propose(archive, "00003", POOL)
    end(archive, "00003", 2, "failed", error="ValueError: no")
    write(tmp_path, archive, Goal.parse("accuracy", "latency_ms <= 5"))

    experiment, groups = hparams_page(tmp_path)
    groups_shown = {"(1) op, kernel"}
    assert {info.name for info in experiment.hparam_infos} == {*groups_shown, *CONV_ARCH, "lr", "schedule"}
    metrics = {info.display_name: info.name.tag for info in experiment.metric_infos}
    assert list(metrics)[:2] == ["accuracy", "latency_ms"] and {"params", "fidelity"} < metrics.keys()
    assert metrics == {name: f"trial/{name}" for name in metrics}
    told = {"(1) op, kernel": "conv 5 0 True 2", **CONV_ARCH, "norm": "0", "lr": 0.01, "schedule": "None"}
    assert values(groups["trials/00001"]) == told
    assert "kernel" not in values(groups["trials/00002"])
    shown = {value.name.tag: value.value for value in groups["trials/00001"].metric_values}
    assert shown == pytest.approx({"trial/accuracy": 0.9, "trial/params": 1e6, "trial/fidelity": 3})
    assert [groups[f"trials/0000{i}"].sessions[0].status for i in (1, 2, 3)] == [
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_FAILURE,
    ]
    assert text(tmp_path / "trials" / "00003", "error") == "ValueError: no"


def test_a_column_knows_what_can_stand_in_it(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "00001", accuracy=0.9)
    write(tmp_path, archive)
    columns = {info.name: info for info in hparams_page(tmp_path)[0].hparam_infos}
    assert list(columns["op"].domain_discrete) == ["conv", "pool"]
    assert list(columns["kernel"].domain_discrete) == [3, 5]
    assert list(columns["norm"].domain_discrete) == ["batch", "0", "True"]
    assert list(columns["skip"].domain_discrete) == [True, False]
    depth, lr = columns["depth"].domain_interval, columns["lr"].domain_interval
    assert (depth.min_value, depth.max_value, lr.min_value, lr.max_value) == (1, 4, 1e-4, 1e-1)
    assert columns["skip"].type == api_pb2.DATA_TYPE_BOOL


def test_options_of_any_kind_have_a_column() -> None:
    domains: dict[str, Any] = {"optimizer": {"betas": tune.choice([None, (0.9, 0.99)]), "lr": tune.uniform(0, 1)}}
    joint = JointSpace(Decided(Categorical("pool", (None, (2, 2), 3))), domains)
    config = {"arch": {"pool": (2, 2)}, "optimizer": {"betas": None, "lr": 0.5}, "epochs": 3}
    columns = Columns(joint)
    assert columns.values(config) == {
        "pool": "(2, 2)",
        "optimizer.betas": "None",
        "optimizer.lr": 0.5,
        "epochs": 3,
    }
    assert [info.name for info in columns.infos(config)] == ["pool", "optimizer.betas", "optimizer.lr", "epochs"]


def test_all_columns_are_there_before_a_trial_has_begun(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path, SPACE)
    log.update(Archive(), Goal.parse("accuracy"))
    experiment, groups = hparams_page(tmp_path)
    assert {"op", "kernel", "norm", "skip", "depth", "lr"} < {info.name for info in experiment.hparam_infos}
    assert not groups


def test_many_decisions_have_columns_by_their_prefix_first() -> None:
    decisions = [Categorical(f"layers.{i}.{part}", (3, 5)) for i in range(12) for part in ("op", "kernel")]
    groups = groups_of([Categorical("n", (1, 2)), *decisions], [Categorical("lr", (1, 2))])
    assert [group.title for group in groups[:3]] == ["(01) n", "(02) layers.0", "(03) layers.1"]
    assert sorted(group.title for group in groups) == [group.title for group in groups]
    assert groups[1].text({"layers.0.kernel": 5, "layers.0.op": 3}) == "3 5"
    assert groups[1].text({"n": 1}) == "–"
    assert groups_of(decisions[:5]) == []
