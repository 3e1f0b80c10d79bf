import pickle
from dataclasses import FrozenInstanceError, replace
from operator import attrgetter
from typing import Any

import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.constraint import Constraint
from raynas.core.goal import Goal, Objective
from raynas.core.metric import Candidate, Metric
from raynas.errors import RaynasError, SettingError
from raynas.testing import ToySpace

SPACE = ToySpace()
ARCH = Architecture({"layers.0": 0})


def candidate(**given: Any) -> Candidate:
    settings: dict[str, Any] = {
        "space": SPACE,
        "arch": ARCH,
        "device": torch.device("cpu"),
        "build": nn.Identity,
        "count": {"params": 7, "macs": 9}.__getitem__,
    }
    return Candidate(**{**settings, **given})


@pytest.mark.parametrize("name", ["energy_mj", "val/loss", "latency_ms@jetson", "f1.macro", "top-5", "größe"])
def test_names_can_be_read_in_objectives_and_constraints(name: str) -> None:
    metric = Metric(name=name, mode="min")
    assert Objective.parse(name, {name: metric}) == Objective(name, "min")
    assert Objective.parse(f"max:{name}") == Objective(name, "max")
    for op in ("<=", ">="):
        assert Constraint.parse(f"{name} {op} 3").metric == Constraint.parse(f"{name}{op}3 soft").metric == name
    assert Constraint.parse(f"{name} <= 0.9 * baseline").relative


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "a<b", "a>b", "a=b", "a*b", "max:a", "3d", None, 3])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="the name of a metric must not begin with a digit nor hold"):
        Metric(name=name, mode="min")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "up"}, "mode of metric 'm' must be one of max, min, got 'up'"),
        ({"needs": "gpu"}, "needs of metric 'm' must be one of shapes, weights, device, data, got 'gpu'"),
        ({"measure": 3}, "measure of metric 'm' must be a function of a candidate, got 3"),
    ],
)
def test_a_mistake_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Metric(**{"name": "m", "mode": "min", **wrong})


def test_a_metric_is_a_frozen_value() -> None:
    metric = Metric(name="energy_mj", mode="min", unit="mJ", measure=attrgetter("macs"))
    with pytest.raises(FrozenInstanceError):
        metric.name = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(metric)).measure(candidate()) == 9
    assert Metric(name="m", mode="max") == Metric(name="m", mode="max")


def test_a_candidate_offers_counts_network_and_example() -> None:
    some = candidate()
    assert (some.params, some.macs) == (7, 9)
    assert isinstance(some.model, nn.Identity)
    assert some.example(3).shape == (3, 1) and some.example().device.type == "cpu"
    assert candidate(device=torch.device("meta")).example().is_meta
    with pytest.raises(RaynasError, match="no batch of training data"):
        _ = some.batch
    batch = torch.zeros(2, 1), torch.zeros(2)
    assert candidate(draw=lambda: batch).batch is batch


def test_a_goal_carries_what_it_was_read_with() -> None:
    energy = Metric(name="energy_mj", mode="min")
    goal = Goal.parse(["accuracy", "energy_mj"], "size <= 3", {"energy_mj": energy}, ["memory"])
    assert goal.objectives == (Objective("accuracy", "max"), Objective("energy_mj", "min"))
    assert goal.metrics["energy_mj"] is energy
    assert goal.names == ["accuracy", "energy_mj", "size"]
    assert goal.asked == ["accuracy", "energy_mj", "size", "memory"]
    assert goal.against({"size": 1}).metrics is goal.metrics
    assert goal == Goal(goal.objectives, goal.constraints), "what is known does not make it another goal"


def test_a_misspelt_objective_gets_a_hint() -> None:
    with pytest.raises(ValueError, match=r"objective 'acuracy' needs a direction.*did you mean 'accuracy'\?"):
        Goal.parse("acuracy")


def test_a_metric_may_be_measured_at_the_end() -> None:
    real = Metric(name="real", mode="min", unit="ms", measure=lambda candidate: 1.0, needs="weights")
    size = Metric(name="size", mode="min", measure=lambda candidate: 2.0)
    assert size.at_end is None
    assert replace(real, final=True).at_end == replace(real, final=True)
    assert replace(size, final=real).at_end == replace(real, name="size")
    wrongs: tuple[Any, ...] = (Metric(name="reported", mode="min"), "real", True)
    for wrong in wrongs:
        with pytest.raises(SettingError, match=r"final of metric 'size' must be True, False or a metric.*got"):
            replace(size, measure=None, final=wrong)
