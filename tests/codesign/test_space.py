from collections.abc import Mapping

import numpy as np
import pytest
from torch import nn

from raynas import Choice, ModelSpace
from raynas.codesign import Accelerator, AcceleratorSpace, CodesignSpace, accelerator_metrics
from raynas.core.architecture import Config
from raynas.core.extended_space import network_part, network_space
from raynas.core.joint_space import JointSpace
from raynas.data.fit_space import fields_of, resized_to, scaled
from raynas.errors import SettingError, SpaceError, UnknownNameError
from raynas.metrics import Measurer, read_goal
from raynas.search_spaces import CNN, NASBench201
from raynas.strategies import STRATEGIES
from raynas.testing import SpaceContract, ToySpace, run_trials

FEW = AcceleratorSpace(
    rows=(4, 8), cols=(8,), input_kb=(8, 16), weight_kb=(8,), output_kb=(8,), dataflow=("weight_stationary",)
)


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            Choice({"3": lambda: nn.Conv2d(1, 4, 3, padding=1), "1": lambda: nn.Conv2d(1, 4, 1)}),
            nn.ReLU(),
            Choice({"wide": lambda: nn.Conv2d(4, 8, 3), "grouped": lambda: nn.Conv2d(4, 8, 3, groups=4)}),
            nn.Flatten(),
            nn.LazyLinear(10),
        )


NET = ModelSpace(Net, input_shape=(1, 6, 6))


class TestCodesignSpace(SpaceContract):
    @pytest.fixture
    def space(self) -> CodesignSpace:
        return CodesignSpace(NET, FEW)


def test_a_point_is_a_network_and_an_accelerator() -> None:
    space = CodesignSpace(NET, FEW)
    assert space.size == NET.size * 4
    point = space.pair(NET.default, {**FEW.default, "accelerator.rows": 8})
    assert space.inside(point) == NET.default and network_space(space) is NET
    assert space.accelerator(point) == Accelerator(
        rows=8, cols=8, input_kb=8, weight_kb=8, output_kb=8, dataflow="weight_stationary"
    )
    assert space.pair(NET.default) == space.default
    assert space.to_config(point) == {"arch": dict(point)}  # a trainable may read the accelerator
    with pytest.raises(SpaceError, match="has no decision 'kernel'"):
        space.pair({**NET.default, "kernel": 3})


def test_hyperparameters_may_be_searched_besides() -> None:
    from ray import tune

    space = CodesignSpace(NET, FEW)
    joint = JointSpace(space, {"lr": tune.loguniform(1e-4, 1e-1)})
    point = joint.sample(np.random.default_rng(0))
    assert network_part(joint, point) == space.inside(joint.architecture(point))
    assert (joint.architecture_space, network_space(joint)) == (space, NET)


def test_spaces_of_other_accelerators_are_others() -> None:
    faster = AcceleratorSpace(clock_mhz=1000)
    found = [CodesignSpace(NET), CodesignSpace(NET, FEW), CodesignSpace(NET, faster), CodesignSpace(CNN())]
    assert len({space.fingerprint for space in found}) == 4
    assert CodesignSpace(NET).fingerprint == CodesignSpace(NET).fingerprint != NET.fingerprint


def test_an_option_that_no_accelerator_can_have_is_refused() -> None:
    with pytest.raises(SettingError, match="rows must be a whole number of at least 1, got 0"):
        AcceleratorSpace(rows=(8, 0))
    with pytest.raises(UnknownNameError, match="no_local_reuse"):
        AcceleratorSpace(dataflow=("no_local_reuse",))
    with pytest.raises(SpaceError, match="needs different options"):
        AcceleratorSpace(bits=())


def test_networks_are_fitted_to_data_and_made_smaller() -> None:
    space = CodesignSpace(NASBench201(), FEW)
    assert {"channels", "input_shape"} <= set(fields_of(space))
    smaller = scaled(resized_to(space, (3, 8, 8)), {"channels": 4})
    assert isinstance(smaller, CodesignSpace) and smaller.accelerators == FEW
    assert smaller.space == NASBench201(input_shape=(3, 8, 8), channels=4)
    assert smaller.input_shape == (3, 8, 8)


def test_the_costs_are_those_of_the_accelerator_in_the_point() -> None:
    space = CodesignSpace(NET, FEW)
    costs = Measurer(space).costs(accelerator_metrics())
    point = space.pair(NET.default, {**FEW.default, "accelerator.rows": 8})
    for arch in (space.default, point):
        fixed = Measurer(NET).costs(accelerator_metrics(space.accelerator(arch)))
        assert {name: cost(arch) for name, cost in costs.items()} == {n: cost(NET.default) for n, cost in fixed.items()}
    assert costs["accelerator_area_mm2"](point) > costs["accelerator_area_mm2"](space.default)
    assert costs["accelerator_cycles"](point) / 500e3 == costs["accelerator_latency_ms"](point)


def test_rows_are_kept_where_that_is_offered() -> None:
    offered = AcceleratorSpace(rows=(4,), cols=(4,), dataflow=("row_stationary", "output_stationary"))
    costs = Measurer(CodesignSpace(NET, offered)).costs(accelerator_metrics())
    point = CodesignSpace(NET, offered).default
    fixed = Measurer(NET).costs(accelerator_metrics(offered.accelerator(point)))
    assert {n: cost(point) for n, cost in costs.items()} == {n: cost(NET.default) for n, cost in fixed.items()}
    assert "row_stationary" not in AcceleratorSpace().dataflow


def test_a_space_without_accelerators_needs_one() -> None:
    (metric, *_) = accelerator_metrics()
    with pytest.raises(SettingError, match=r"accelerator_cycles needs an accelerator.*CodesignSpace\(space\)"):
        Measurer(NET).value(metric, NET.default)


def test_metrics_of_one_search_serve_another_space() -> None:
    metrics = accelerator_metrics(Accelerator())
    wide = ModelSpace(lambda: nn.Sequential(Choice({"a": lambda: nn.Conv2d(1, 9, 3)})), input_shape=(1, 6, 6))
    first, second = (Measurer(space).value(metrics[1], space.default) for space in (NET, wide))
    assert first != second == Measurer(wide).value(accelerator_metrics(Accelerator())[1], wide.default)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_searches_both_within_a_limit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raynas.strategies.predictors.fold_ensemble.N_STEPS", 60)
    toy = ToySpace(n_layers=3)
    space = CodesignSpace(toy, FEW)
    metrics = [metric for metric in accelerator_metrics() if metric.name == "accelerator_area_mm2"]
    costs = Measurer(space).costs(metrics)
    limit = costs["accelerator_area_mm2"](space.pair(toy.default, {**FEW.default, "accelerator.rows": 8}))
    goal = read_goal("accuracy", f"accelerator_area_mm2 <= {limit}", metrics)
    searcher = STRATEGIES[name]().for_budget(20).searcher(space, goal, seed=0, costs=costs)

    def result(config: Config) -> Mapping[str, object]:
        return toy.result({"arch": space.inside(space.from_config(config))})

    points = [space.from_config(config) for config in run_trials(searcher, result, 20)]
    assert len(points) == 20
    assert all(costs["accelerator_area_mm2"](point) <= limit for point in points)
    assert len({space.inside(point) for point in points}) > 1 or name == "grid"
    assert len({space.accelerator(point) for point in points}) > 1
