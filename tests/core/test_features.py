"""What a predictor sees of an architecture by default."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Integer
from raynas.core.features import DecisionFeatures
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.search_spaces import CNN, NASBench201
from raynas.testing import ToySpace

CHAIN = DecisionFeatures(
    [
        Integer("depth", low=1, high=3),
        *(Categorical(f"op{i}", choices=("conv", "pool")) for i in range(3)),
        *(Categorical(f"width{i}", choices=(64, 16, 32)) for i in range(2)),
        Categorical("only", choices=("one",)),
    ]
)


def features(**arch: Any) -> Mapping[str, list[float]]:
    return {name: group.tolist() for name, group in CHAIN(arch).items()}


def test_counts_are_of_decisions_with_the_same_options() -> None:
    given = CHAIN({"depth": 2, "op0": "conv", "op1": "conv", "width0": 16, "width1": 64, "only": "one"})
    counts = np.expm1(given["counts"]).round(6).tolist()
    assert counts == [2, 2, 0, 2, 1, 1, 0]  # ops: both active, both conv; widths: both active, one 64, one 16


def test_sizes_are_ranks_in_order_and_their_mean() -> None:
    given = features(depth=2, op0="conv", op1="pool", width0=16, width1=64, only="one")
    assert given["sizes"] == [0.5, 0.0, 1.0, 0.5]  # depth; widths 16 and 64 of (16, 32, 64), and their mean
    assert features(depth=1, op0="conv", only="one")["sizes"] == [0.0, 0.0, 0.0, 0.0]


def test_a_group_without_numbers_is_left_out() -> None:
    alone = DecisionFeatures([Categorical("op", choices=("conv", "pool"))])
    assert set(alone({"op": "conv"})) == {"decisions"}


def test_a_joint_space_passes_on_what_the_space_inside_knows() -> None:
    cells = NASBench201()
    joint = JointSpace(cells, {"lr": tune.loguniform(1e-3, 1e-1), "epochs": 3})
    point = joint.sample(np.random.default_rng(0))
    given, inside = joint.features(point), cells.features(joint.architecture(point))
    assert given.keys() == {*inside, "hyperparameters"} and given["hyperparameters"].shape == (1,)
    assert all((given[name] == inside[name]).all() for name in inside)
    other = Architecture({**point, "lr": 0.5 * float(point["lr"])})
    assert joint.function_key(point) != joint.function_key(other)
    twin = Architecture({**point, **cells.sample(np.random.default_rng(1))})
    same = cells.function_key(joint.architecture(twin)) == cells.function_key(joint.architecture(point))
    assert (joint.function_key(point) == joint.function_key(twin)) == same


def test_a_space_has_them_by_default() -> None:
    space = ToySpace(n_layers=3, n_options=4)
    arch = space.sample(np.random.default_rng(0))
    assert (space.features(arch)["decisions"] == space.encode(arch)).all()


@pytest.mark.parametrize(
    "space",
    [CNN(), NASBench201(), JointSpace(CNN(), {"lr": tune.loguniform(1e-3, 1e-1), "n": tune.lograndint(1, 9)})],
    ids=["decisions", "a group of its own", "joint"],
)
def test_features_of_many_are_those_of_each(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(10)]
    many = space.features_of(space.coded.encode(archs))
    for i, arch in enumerate(archs):
        alone = space.features(arch)
        assert alone.keys() == many.keys()
        for name, group in alone.items():
            np.testing.assert_allclose(many[name][i], group, atol=1e-12)
    if isinstance(space, CNN):
        assert all((row == space.encode(arch)).all() for row, arch in zip(many["decisions"], archs, strict=True))
