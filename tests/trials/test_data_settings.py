"""Zero-cost proxies wherever a metric is taken: the same scores as ZeroCost gives, in trials and before them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle, tune
from torch import nn

import raynas
from raynas.core.goal import Objective
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import METRICS, ZERO_COST, read_goal, untrained_metrics
from raynas.run.asked import wanted
from raynas.strategies import RandomSearch
from raynas.trials import Function, ZeroCost
from raynas.trials.progress import STANDARD
from tests.trials.proxies import ARCH, DISCONNECTED, FAST, PROXIES, SPACE, WANTED, expected_scores


@pytest.fixture(scope="module")
def expected() -> dict[str, float]:
    return expected_scores()


def test_the_table_of_directions_is_that_of_the_proxies() -> None:
    assert {*PROXIES, "params", "macs"} == {*ZERO_COST, "ensemble"}
    assert Objective.parse("synflow", METRICS) == Objective("synflow", "max")
    assert not PROXIES & set(STANDARD)


def test_trials_report_what_zero_cost_reports_whatever_their_fidelity(expected: Mapping[str, float]) -> None:
    runner = FAST.runner(SPACE, WANTED)
    runner.raises = True
    result = runner.run({"arch": dict(ARCH)})
    assert {name: result[name] for name in expected} == expected
    assert 0 <= result["accuracy"] <= 1 and result["params"] > 0
    copied = cloudpickle.loads(cloudpickle.dumps(runner))
    assert copied.run({"arch": dict(ARCH)})["naswot"] == expected["naswot"]


def test_nothing_is_measured_that_nobody_wants() -> None:
    result = FAST.evaluate(SPACE, ARCH)
    assert not PROXIES & result.keys()
    assert not FAST.runner(SPACE, ["accuracy", "loss", "params"]).costs.batch


def test_a_network_that_cannot_be_scored_fails_before_it_is_trained() -> None:
    result = FAST.runner(SPACE, ["accuracy", "jacob_cov"]).run({"arch": dict(DISCONNECTED)})
    assert result["failed"] == 1 and "do not depend on the input" in result["error"]
    assert result["train_seconds"] == 0


def test_a_checkpoint_from_before_a_proxy_was_wanted(expected: Mapping[str, float], tmp_path: Path) -> None:
    first = FAST.runner(SPACE)
    first.begin({"arch": dict(ARCH)})
    first.step()
    first.save(tmp_path)
    later = FAST.runner(SPACE, WANTED)
    later.begin({"arch": dict(ARCH), "_checkpoint": str(tmp_path)})
    assert later.step()["naswot"] == expected["naswot"]


def test_a_function_gets_those_that_need_no_images() -> None:
    def fn(model: nn.Module, config: Mapping[str, Any]) -> float:
        return 0.5

    settings = Function(fn=fn, seed=5)
    result = settings.runner(SPACE, ["accuracy", "synflow"]).run({"arch": dict(ARCH)})
    assert result["synflow"] == untrained_metrics(SPACE, ["synflow"], seed=5)["synflow"](ARCH)
    without = settings.runner(SPACE, ["accuracy", "naswot"]).run({"arch": dict(ARCH)})
    assert without["failed"] == 1 and "'naswot' is wanted, but what was reported is accuracy" in without["error"]


def test_a_function_may_report_a_metric_of_such_a_name_itself() -> None:
    def fn(model: nn.Module, config: Mapping[str, Any]) -> dict[str, float]:
        return {"accuracy": 0.5, "naswot": 3.0, "zen": 4.0}

    result = Function(fn=fn).runner(SPACE, ["accuracy", "naswot", "zen"]).run({"arch": dict(ARCH)})
    assert (result["naswot"], result["zen"]) == (3.0, 4.0)


def test_unknown_metrics_are_refused_before_anything_runs(tmp_path: Path) -> None:
    where = tune.RunConfig(storage_path=str(tmp_path))
    with pytest.raises(UnknownNameError, match=r"unknown metric 'naswott'; did you mean 'naswot'.*accuracy"):
        raynas.search(SPACE, FAST, constraints="naswott >= 100", run_config=where)
    with pytest.raises(UnknownNameError, match="unknown metric 'ensemble'"):
        raynas.search(SPACE, FAST, objectives=["accuracy", "ensemble"], run_config=where)
    with pytest.raises(RaynasError, match="'accuracy' is wanted, but zero-cost proxies give"):
        raynas.search(SPACE, ZeroCost(), constraints="naswot >= 1", run_config=where)
    assert not any(tmp_path.iterdir())
    Function(fn="some:function").check_goal(read_goal("max:anything"))


def test_what_every_result_must_hold() -> None:
    goal = read_goal(["accuracy", "synflow"], ["naswot >= 1", "zen >= 1 soft", "size_kb <= 3 soft", "params <= 1"])
    assert goal.names == ["accuracy", "synflow", "naswot", "zen", "size_kb", "params"]
    searcher = RandomSearch().searcher(SPACE, goal, costs=FAST.costs(SPACE))
    assert [getattr(metric, "name", metric) for metric in wanted(searcher)] == ["accuracy", "synflow", "zen", "size_kb"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_search_with_proxies_as_objective_and_as_limits(tmp_path: Path) -> None:
    costs = FAST.costs(SPACE)
    values = sorted(costs["naswot"](SPACE.sample(np.random.default_rng(i))) for i in range(5))
    result = raynas.search(
        SPACE,
        FAST,
        RandomSearch(),
        objectives=["accuracy", "synflow"],
        constraints=[f"naswot >= {values[2]}", "l2_norm >= 1e9 soft"],
        num_samples=3,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(storage_path=str(tmp_path)),
    )
    assert len(result.evaluations) == 3 and result.pareto_front()
    for evaluation in result.evaluations:
        assert evaluation.metrics["naswot"] >= values[2]
        for name in ("synflow", "l2_norm"):
            assert math.isclose(evaluation.metrics[name], costs[name](evaluation.arch), rel_tol=1e-6)
