"""The members that are trained further: along the front, and from all others."""

from collections.abc import Sequence
from math import ceil

import numpy as np

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal

FRONT_SHARE = 2 / 3
"""Share of the sample that is taken from the front."""


def front_of(goal: Goal, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the front of what finished and complies, in the order of the last objective; of one objective, the best.

    Of members with equal scores the first is kept.
    """
    fit = [e for e in evaluations if e.status == "finished" and goal.violation(e) == 0]
    if len(goal.objectives) == 1:
        return goal.sort(fit)
    last = goal.objectives[-1]
    found = sorted(goal.pareto_front(fit), key=lambda e: -last.sign * e.metrics[last.metric])
    return list({tuple(e.metrics[o.metric] for o in goal.objectives): e for e in reversed(found)}.values())[::-1]


def sample(goal: Goal, evaluations: Sequence[Evaluation], n: int, seed: int) -> list[tuple[Evaluation, bool]]:
    """Return members to train further, and whether each is of the front.

    Two thirds are at even distances along the front, its ends among them; the others are drawn from the rest, one from
    each part of the range of the last objective, so that they are not all alike.

    Args:
        goal: of the search.
        evaluations: all of it, with inherited weights.
        n: number of members; fewer if there are fewer.
        seed: of the draws.
    """
    front = front_of(goal, evaluations)
    n_front = min(ceil(n * FRONT_SHARE), len(front))
    if len(goal.objectives) == 1:
        chosen = front[:n_front]
    else:
        chosen = [front[i] for i in sorted({round(float(i)) for i in np.linspace(0, len(front) - 1, n_front)})]
    of_front = {e.arch for e in front} if len(goal.objectives) > 1 else {e.arch for e in chosen}
    last = goal.objectives[-1].metric
    rest = [e for e in evaluations if e.status == "finished" and e.arch not in of_front and last in e.metrics]
    rest.sort(key=lambda e: (e.metrics[last], e.arch.key))
    rng = np.random.default_rng(seed)
    parts = np.array_split(np.arange(len(rest)), min(n - len(chosen), len(rest))) if rest and n > len(chosen) else []
    return [*((e, True) for e in chosen), *((rest[int(rng.choice(part))], False) for part in parts)]
