import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle, tune

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Integer, Real
from raynas.core.joint_space import JointSpace
from raynas.errors import SpaceError
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)
DOMAINS: dict[str, Any] = {
    "lr": tune.loguniform(1e-4, 1e-1),
    "dropout": tune.uniform(0.0, 0.5),
    "batch_size": tune.choice([16, 32]),
    "warmup": tune.randint(0, 3),
    "epochs": 5,
    "schedule": ["cosine", 0.1],
}
CONFIG: dict[str, Any] = {
    "arch": {"layers.0": 2, "layers.1": 0, "head": "cosine"},
    "lr": 0.01,
    "dropout": 0.5,
    "batch_size": 16,
    "warmup": 2,
    "epochs": 5,
    "schedule": ["cosine", 0.1],
}


@pytest.fixture
def joint() -> JointSpace:
    return JointSpace(SPACE, DOMAINS)


def test_domains_become_decisions(joint: JointSpace) -> None:
    assert joint.decisions[: len(SPACE.decisions)] == SPACE.decisions
    assert joint.decisions[len(SPACE.decisions) :] == [
        Real("lr", 1e-4, 1e-1, log=True),
        Real("dropout", 0.0, 0.5),
        Categorical("batch_size", (16, 32)),
        Integer("warmup", 0, 2),
    ]
    assert (joint.name, joint.input_shape) == (SPACE.name, SPACE.input_shape)
    assert joint.size == float("inf")
    assert JointSpace(SPACE, {"batch_size": tune.choice([16, 32]), "epochs": 5}).size == 2 * SPACE.size


def test_a_point_is_a_config_and_back(joint: JointSpace) -> None:
    point = joint.from_config(CONFIG)
    assert joint.to_config(point) == CONFIG
    assert joint.architecture(point) == Architecture(CONFIG["arch"])
    rng = np.random.default_rng(0)
    for _ in range(50):
        point = joint.mutate(joint.sample(rng), rng)
        assert joint.canonical(point) == point
        assert joint.from_config(json.loads(json.dumps(joint.to_config(point)))) == point
        assert SPACE.canonical(joint.architecture(point)) == joint.architecture(point)


def test_inactive_decisions_are_dropped(joint: JointSpace) -> None:
    arch = {"layers.0": 0, "layers.1": 0}
    point = joint.from_config({**CONFIG, "arch": {**arch, "head": "linear"}})
    assert joint.to_config(point)["arch"] == arch


def test_numpy_scalars_become_plain(joint: JointSpace) -> None:
    """BOHB and HyperOpt give them."""
    config = {**CONFIG, "lr": np.float64(0.01), "warmup": np.int64(2), "batch_size": np.int32(16)}
    point = joint.from_config(config)
    assert joint.to_config(point) == CONFIG
    assert {type(point[name]) for name in ("lr", "warmup", "batch_size")} == {float, int}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 1.0}, "'lr' cannot be 1.0"),
        ({"warmup": 3}, "'warmup' cannot be 3; options: 0, 1, 2"),
        ({"batch_size": 64}, "'batch_size' cannot be 64"),
        ({"arch": {"layers.0": 0}}, "lacks decision 'layers.1'"),
    ],
)
def test_what_is_no_point_is_refused(joint: JointSpace, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        joint.from_config({**CONFIG, **change})


def test_a_missing_hyperparameter_is_named(joint: JointSpace) -> None:
    with pytest.raises(SpaceError, match="lacks decision 'lr'"):
        joint.from_config({name: value for name, value in CONFIG.items() if name != "lr"})


def test_param_space_is_tunes(joint: JointSpace) -> None:
    space = joint.param_space()
    assert set(space.pop("arch")) == {decision.name for decision in SPACE.decisions}
    assert space.pop("batch_size").categories == DOMAINS["batch_size"].categories
    assert space == {name: domain for name, domain in DOMAINS.items() if name != "batch_size"}


def test_builds_the_architecture(joint: JointSpace) -> None:
    assert type(joint.build(joint.from_config(CONFIG))) is type(SPACE.build(Architecture(CONFIG["arch"])))


NESTED: dict[str, Any] = {
    "optimizer": {
        "name": tune.choice([None, ("adam", 0.9)]),
        "rates": {"lr": tune.qloguniform(0.01, 0.1, 0.01)},
        "beta": np.float32(0.5),
    },
    "widths": tune.choice(list(2 ** np.arange(3, 6))),
    "milestones": (np.int64(3), 5),
    "constants": {"a": {"b": 1}},
    "label.smoothing": tune.uniform(0, 1),
}


def test_nested_domains_are_decisions_by_their_path() -> None:
    joint = JointSpace(SPACE, NESTED)
    names = ["optimizer.name", "optimizer.rates.lr", "widths", "label.smoothing"]
    assert [d.name for d in joint.decisions[len(SPACE.decisions) :]] == names
    rng = np.random.default_rng(0)
    for _ in range(20):
        point = joint.sample(rng)
        config = joint.to_config(point)
        assert config["optimizer"]["rates"]["lr"] == point["optimizer.rates.lr"]
        assert config["optimizer"]["beta"] == 0.5 and config["constants"] == {"a": {"b": 1}}
        assert config["optimizer"]["name"] in (None, ("adam", 0.9))
        assert config["milestones"] == (3, 5) and type(config["widths"]) is int
        assert joint.from_config(config) == joint.from_config(json.loads(json.dumps(config))) == point
        assert joint.to_config(joint.from_config(json.loads(json.dumps(config)))) == config  # tuples are tuples again


def test_nested_options_change_by_their_path() -> None:
    joint = JointSpace(SPACE, NESTED)
    config = joint.to_config(joint.sample(np.random.default_rng(0)))
    assert joint.own_options(config).keys() == {d.name for d in joint.decisions[len(SPACE.decisions) :]}
    changed = joint.with_own(config, {"optimizer.rates.lr": 0.05, "widths": 8})
    assert changed["optimizer"] == {**config["optimizer"], "rates": {"lr": 0.05}} and changed["widths"] == 8
    assert {**changed, "optimizer": 0, "widths": 0} == {**config, "optimizer": 0, "widths": 0}


@pytest.mark.parametrize("name", ["grid", "outer"])
def test_a_grid_is_refused_wherever_it_stands(name: str) -> None:
    grid: Any = tune.grid_search([1, 2])
    with pytest.raises(SpaceError, match=r"cannot be searched by raynas as tune\.grid_search"):
        JointSpace(SPACE, {name: grid if name == "grid" else {"inner": grid}})


@pytest.mark.parametrize("constant", [object(), float("nan"), {1, 2}, np.zeros(2)])
def test_a_constant_must_fit_into_the_archive(constant: Any) -> None:
    with pytest.raises(SpaceError, match="hyperparameter 'x' must be a Tune domain or a constant that JSON can hold"):
        JointSpace(SPACE, {"x": constant})


def test_names_must_be_free() -> None:
    with pytest.raises(SpaceError, match="hyperparameter 'arch' is where the architecture stands"):
        JointSpace(SPACE, {"arch": tune.uniform(0, 1)})
    for domain in (tune.uniform(0, 1), 3):
        with pytest.raises(SpaceError, match="hyperparameter 'head' has the name of a decision of ToySpace; rename it"):
            JointSpace(SPACE, {"head": domain})
    with pytest.raises(SpaceError, match="high"):
        JointSpace(SPACE, {"x": tune.uniform(1, 1)})


def test_the_fingerprint_tells_searches_apart(joint: JointSpace) -> None:
    others = [
        SPACE,
        JointSpace(ToySpace(n_layers=3, n_options=3), DOMAINS),
        JointSpace(SPACE, {**DOMAINS, "lr": tune.loguniform(1e-4, 1e-2)}),
        JointSpace(SPACE, {**DOMAINS, "lr": tune.uniform(1e-4, 1e-1)}),
    ]
    prints = [space.fingerprint for space in (joint, *others)]
    assert len(set(prints)) == len(prints)
    assert JointSpace(SPACE, DOMAINS).fingerprint == joint.fingerprint


@dataclass(frozen=True)
class Wide(ToySpace):
    channels: int = 16


def test_the_fingerprint_holds_the_sizes_of_the_networks() -> None:
    narrow, wide = (JointSpace(Wide(channels=n), {"epochs": 3}) for n in (16, 32))
    assert narrow.decisions == wide.decisions
    assert narrow.fingerprint != wide.fingerprint


def test_pickles(joint: JointSpace) -> None:
    copy = cloudpickle.loads(cloudpickle.dumps(joint))
    assert copy.fingerprint == joint.fingerprint
    assert copy.sample(np.random.default_rng(0)) == joint.sample(np.random.default_rng(0))
