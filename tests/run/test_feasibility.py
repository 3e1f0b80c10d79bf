from collections.abc import Callable
from dataclasses import dataclass

import pytest

from raynas.core.architecture import Architecture
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import DataError, InfeasibleError
from raynas.run.feasibility import PROBES, check_feasible
from raynas.strategies import RandomSearch
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)


def searcher(*constraints: str, baseline: Architecture | None = None) -> ArchitectureSearcher:
    costs = {"params": SPACE.params, "macs": lambda arch: 6000 - SPACE.params(arch)}
    return RandomSearch().searcher(SPACE, constraints=constraints, costs=costs, baseline=baseline)


@pytest.mark.parametrize("constraint", ["params <= 1000", "params >= 5000", "params <= 1 soft", "accuracy >= 2"])
def test_what_can_be_met_passes(constraint: str) -> None:
    check_feasible(searcher(constraint), seed=0)


@pytest.mark.parametrize(
    ("constraint", "closest"), [("params <= 999", "params = 1000"), ("params >= 5001", "params = 5000")]
)
def test_the_closest_value_is_named(constraint: str, closest: str) -> None:
    message = rf"none of {SPACE.size} architectures, .*, meets {constraint}; the closest has {closest}: loosen it"
    with pytest.raises(InfeasibleError, match=message):
        check_feasible(searcher(constraint), seed=0)


def test_limits_can_exclude_each_other() -> None:
    with pytest.raises(InfeasibleError, match="meets all of params <= 2000, macs <= 3000 at once: loosen one of them"):
        check_feasible(searcher("params <= 2000", "macs <= 3000"), seed=0)


def test_a_limit_that_is_not_known_yet_is_no_reason() -> None:
    check_feasible(searcher("params <= 0.01 * baseline", baseline=Architecture({"layers.0": 1, "layers.1": 1})), seed=0)


@dataclass(frozen=True)
class Bounded(ToySpace):
    """Knows its cheapest and its most expensive architecture, of 1,000 and 81,000 parameters."""

    n_layers: int = 16
    n_options: int = 6

    @property
    def bounds(self) -> tuple[Architecture, Architecture]:
        return tuple(Architecture({d.name: d.options[i] for d in self.decisions}) for i in (0, -1))  # type: ignore[return-value]


class Counting:
    """A cost that counts its measurements."""

    def __init__(self, cost: Callable[[Architecture], float]) -> None:
        self.cost, self.n_calls = cost, 0

    def __call__(self, arch: Architecture) -> float:
        self.n_calls += 1
        return self.cost(arch)


def bounded(*constraints: str) -> ArchitectureSearcher:
    costs = {"params": Bounded().params, "latency_ms": lambda arch: 0.001 * Bounded().params(arch)}
    return RandomSearch().searcher(Bounded(), constraints=constraints, costs=costs)


@pytest.mark.parametrize("constraint", ["params <= 1000", "params >= 81000", "latency_ms <= 2"])
def test_a_bound_may_comply_where_random_architectures_do_not(constraint: str) -> None:
    check_feasible(bounded(constraint), seed=0)


@pytest.mark.parametrize("constraint", ["params <= 1000", "params >= 81000", "latency_ms <= 2"])
def test_the_one_member_that_complies_is_found_without_bounds(constraint: str) -> None:
    costs = {name: Counting(cost) for name, cost in bounded().costs.items()}
    check_feasible(RandomSearch().searcher(ToySpace(16, 6), constraints=constraint, costs=costs), seed=0)
    assert max(cost.n_calls for cost in costs.values()) > PROBES, "no random one was lucky"


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        ("params < 1000", "no architecture meets params < 1000: the smallest has params = 1000; loosen it"),
        ("params > 81000", "no architecture meets params > 81000: the largest has params = 81000; loosen it"),
        (
            "latency_ms < 1",
            r"none of \d+ architectures, .*, meets latency_ms < 1; the closest has latency_ms = 1: loosen",
        ),
    ],
)
def test_a_limit_that_excludes_a_bound_excludes_all(constraint: str, reason: str) -> None:
    with pytest.raises(InfeasibleError, match=reason):
        check_feasible(bounded(constraint), seed=0)


def test_architectures_that_a_table_lacks_say_nothing() -> None:
    def listed(arch: Architecture) -> float:
        if arch["layers.0"] != 1:
            raise DataError("no row")
        return 7.0

    def lacking(arch: Architecture) -> float:
        raise DataError("no row")

    for cost, limit in ((listed, 7), (lacking, 1)):
        check_feasible(RandomSearch().searcher(SPACE, constraints=f"params <= {limit}", costs={"params": cost}), seed=0)
    with pytest.raises(InfeasibleError, match="the closest has params = 7"):
        check_feasible(RandomSearch().searcher(SPACE, constraints="params <= 6", costs={"params": listed}), seed=0)
