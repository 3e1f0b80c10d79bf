import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import Costs
from raynas.core.evaluation import Evaluation
from raynas.core.metric import Candidate, Metric
from raynas.metrics import METRICS, read_goal
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.strategies import NSGA2
from raynas.strategies.evolution.known_functions import KnownFunctions
from raynas.testing import ToySpace

SPACE = NASBench201()

LEAN = from_arch_str("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")

DEAD_3X3 = from_arch_str("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
"""The function of ``LEAN``, with an edge that leads nowhere."""

OTHER = from_arch_str("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")


def n_convolutions(arch: Architecture) -> float:
    return float(sum(9 * (o == "nor_conv_3x3") + (o == "nor_conv_1x1") for o in arch.values()))


def not_measured(candidate: Candidate) -> float:
    raise AssertionError("costs are given")


def known(*objectives: str, constraints: str = "", costs: Costs | None = None, **metrics: Metric) -> KnownFunctions:
    goal = read_goal([*objectives], [constraints] if constraints else [], [*metrics.values()])
    return KnownFunctions(SPACE, goal, {"params": n_convolutions} if costs is None else costs)


def evaluated(functions: KnownFunctions, *archs: Architecture, status: str = "finished") -> KnownFunctions:
    for arch in archs:
        functions.add(Evaluation(arch, {"accuracy": 0.5, "params": n_convolutions(arch)}, status=status))  # type: ignore[arg-type]
    return functions


def test_a_known_function_is_worth_a_trial_only_at_less_cost() -> None:
    assert SPACE.function_key(LEAN) == SPACE.function_key(DEAD_3X3)
    assert evaluated(known("accuracy", "min:params"), LEAN).has_as_cheap(DEAD_3X3)
    assert evaluated(known("accuracy", "min:params"), LEAN).has_as_cheap(LEAN)
    assert not evaluated(known("accuracy", "min:params"), DEAD_3X3).has_as_cheap(LEAN)
    assert not evaluated(known("accuracy", "min:params"), LEAN).has_as_cheap(OTHER)
    assert evaluated(known("accuracy", "max:params"), DEAD_3X3).has_as_cheap(LEAN)


def test_a_failure_teaches_nothing() -> None:
    assert not evaluated(known("accuracy", "min:params"), LEAN, status="failed").has_as_cheap(DEAD_3X3)


def test_a_twin_may_be_better_in_one_of_several_costs() -> None:
    costs: Costs = {"params": n_convolutions, "macs": lambda arch: -n_convolutions(arch)}
    functions = evaluated(known("accuracy", "min:params", "min:macs", costs=costs), LEAN)
    assert not functions.has_as_cheap(DEAD_3X3) and functions.has_as_cheap(LEAN)


@pytest.mark.parametrize(
    ("objectives", "constraints"),
    [
        (("accuracy",), ""),  # no cost decides
        (("accuracy", "min:latency_ms"), ""),  # measured on a device: differs when it is measured again
        (("accuracy", "min:params", "min:latency_ms"), ""),  # which a twin may be better in
        (("accuracy", "min:params"), "latency_ms <= 3"),
        (("accuracy", "min:params", "min:energy"), ""),  # of which nothing is known before a trial
    ],
)
def test_what_is_not_known_before_a_trial_keeps_twins(objectives: tuple[str, ...], constraints: str) -> None:
    costs: Costs = {"params": n_convolutions, "latency_ms": n_convolutions}
    assert METRICS["latency_ms"].needs == "device"
    assert not evaluated(known(*objectives, constraints=constraints, costs=costs), LEAN).has_as_cheap(DEAD_3X3)


def test_a_metric_of_the_user_that_follows_from_the_shapes_decides() -> None:
    looked_up = Metric(name="pixel_ms", mode="min", measure=not_measured, needs="shapes")
    functions = known("accuracy", "min:pixel_ms", costs={"pixel_ms": n_convolutions}, pixel=looked_up)
    assert evaluated(functions, LEAN).has_as_cheap(DEAD_3X3)


def test_a_cost_that_cannot_be_measured_keeps_twins() -> None:
    def fails(arch: Architecture) -> float:
        raise ValueError("no entry")

    assert not evaluated(known("accuracy", "min:params", costs={"params": fails}), LEAN).has_as_cheap(DEAD_3X3)


def test_a_space_without_twins_asks_for_no_cost() -> None:
    space = ToySpace(n_layers=2, n_options=3)
    functions = KnownFunctions(space, read_goal(["accuracy", "min:params"]), {"params": not_measured})  # type: ignore[dict-item]
    arch = space.sample(np.random.default_rng(0))
    functions.add(Evaluation(arch, {"accuracy": 0.5, "params": 1.0}))
    assert not functions.has_as_cheap(arch)


def repeats(objectives: list[str], costs: Costs) -> int:
    """Number of children of a search that repeat a function at no less cost."""
    searcher = NSGA2().searcher(SPACE, objectives, costs=costs, seed=0)
    at: dict[object, float] = {}
    n_repeats = 0
    for i in range(60):
        arch = searcher.propose()
        assert arch is not None
        key, cost = SPACE.function_key(arch), n_convolutions(arch)
        n_repeats += int(i >= 12 and at.get(key, np.inf) <= cost)
        at[key] = min(at.get(key, np.inf), cost)
        accuracy = sum((i + 1) * len(str(o)) for i, o in enumerate(arch.values()) if o != "none") / 300
        searcher.observe(Evaluation(arch, {"accuracy": accuracy, "params": cost, "energy": cost}))
    return n_repeats


def test_nsga2_evaluates_no_function_again_at_no_less_cost() -> None:
    assert repeats(["accuracy", "min:params"], {"params": n_convolutions}) == 0
    assert repeats(["accuracy", "min:energy"], {}) > 2
