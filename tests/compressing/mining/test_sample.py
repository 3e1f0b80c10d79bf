"""Members that are trained further."""

import pytest

from raynas.compressing.mining.sample import front_of, sample
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.metrics import read_goal

GOAL = read_goal(["divergence", "macs"])


def scored(n: int, divergence: float, macs: float, status: str = "finished") -> Evaluation:
    return Evaluation(Architecture({"n": n}), {"divergence": divergence, "macs": macs}, 1, status, f"{n:05d}")  # type: ignore[arg-type]


def line(n: int) -> list[Evaluation]:
    """Return a front of n members, each with one that it beats."""
    front = [scored(i, float(n - i), float(i + 1)) for i in range(n)]
    return [*front, *(scored(100 + i, n - i + 5.0, i + 1.5) for i in range(n))]


def test_the_front_in_the_order_of_costs() -> None:
    found = front_of(GOAL, [*reversed(line(5)), scored(50, 0.0, 0.0, "failed"), scored(51, 5.0, 1.0)])
    assert [e.metrics["macs"] for e in found] == [1, 2, 3, 4, 5] and found[0].arch["n"] == 0
    limited = Goal.parse(["divergence", "macs"], "macs <= 3", GOAL.metrics)
    assert [e.metrics["macs"] for e in front_of(limited, line(5))] == [1, 2, 3]


def test_both_ends_of_the_front_and_others_from_the_whole_range() -> None:
    evaluations = line(30)
    chosen = sample(GOAL, evaluations, 12, seed=0)
    on_front, across = [e for e, is_on in chosen if is_on], [e for e, is_on in chosen if not is_on]
    assert [int(e.arch["n"]) for e in on_front] == [0, 4, 8, 12, 17, 21, 25, 29]
    assert [(int(e.arch["n"]) - 100) * 4 // 30 for e in across] == [0, 1, 2, 3]
    assert chosen == sample(GOAL, list(reversed(evaluations)), 12, seed=0) != sample(GOAL, evaluations, 12, seed=1)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100])
def test_few(n: int) -> None:
    chosen = sample(GOAL, line(2), n, seed=0)
    assert len(chosen) == min(n, 4) and len({e.arch for e, _ in chosen}) == len(chosen)
    assert sample(GOAL, [], n, seed=0) == []


def test_of_one_objective_the_best() -> None:
    one = read_goal("divergence")
    chosen = sample(one, line(5), 3, seed=0)
    assert [e.metrics["divergence"] for e, is_on in chosen if is_on] == [1, 2] and len(chosen) == 3
