import pickle

import pytest

from raynas.core.constraint import Constraint
from raynas.core.goal import Goal, Objective
from raynas.core.metric import Metric
from raynas.errors import UnknownNameError
from raynas.metrics import METRICS, ZERO_COST, metrics_named, read_goal, with_metrics

ENERGY = Metric(name="energy_mj", mode="min", unit="mJ")


def test_the_table_holds_every_metric_once() -> None:
    assert [metric.name for metric in METRICS.values()] == list(METRICS)
    assert METRICS.keys() >= {"accuracy", "loss", "params", "macs", "latency_ms", "train_seconds", "peak_memory_mb"}
    assert METRICS.keys() >= {*ZERO_COST, "ensemble"}


def test_proxies_need_what_their_table_says() -> None:
    for name, proxy in ZERO_COST.items():
        if name not in ("params", "macs"):
            assert METRICS[name].mode == "max"
            assert METRICS[name].needs == ("data" if proxy.needs_data else "weights")


def test_a_metric_of_a_known_name_replaces_it() -> None:
    mine = Metric(name="latency_ms", mode="min", unit="ms")
    table = with_metrics([ENERGY, mine, "synflow"])
    assert table["latency_ms"] is mine and table["energy_mj"] is ENERGY and table["synflow"] is METRICS["synflow"]
    assert METRICS["latency_ms"].measure is not None


def test_names_are_looked_up() -> None:
    assert metrics_named(["macs", ENERGY]) == [METRICS["macs"], ENERGY]
    with pytest.raises(UnknownNameError, match="unknown metric 'mac'; did you mean 'macs'"):
        metrics_named(["mac"])
    with pytest.raises(UnknownNameError, match="latency_ms"):
        with_metrics(["latencyms"])
    with pytest.raises(ValueError, match="different names, got 'energy_mj' twice"):
        with_metrics([ENERGY, ENERGY])


def test_a_goal_is_read_with_the_table_and_more() -> None:
    assert pickle.loads(pickle.dumps(read_goal("macs"))).metrics == METRICS
    goal = read_goal(["accuracy", "energy_mj"], "macs <= 3", [ENERGY, "latency_ms"])
    assert goal.objectives == (Objective("accuracy", "max"), Objective("energy_mj", "min"))
    assert goal.constraints == (Constraint("macs", "<=", 3),)
    assert goal.watched == ("energy_mj", "latency_ms")
    assert goal.asked == ["accuracy", "energy_mj", "macs", "latency_ms"]
    assert read_goal() == Goal()
