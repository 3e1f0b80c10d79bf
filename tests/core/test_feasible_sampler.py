import pickle

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.feasible_sampler import MemberLimits
from raynas.errors import InfeasibleError
from raynas.metrics import read_goal
from raynas.testing import ToySpace

SMALL, LARGE = ToySpace(n_layers=5), ToySpace(n_layers=8)


def limits_of(space: ToySpace, *constraints: str) -> MemberLimits:
    return MemberLimits(space=space, goal=read_goal("accuracy", constraints), costs={"params": space.params})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("space", [SMALL, LARGE])
def test_few_members_comply_and_those_are_drawn(space: ToySpace) -> None:
    limits = limits_of(space, "params <= 2000")
    drawn = limits.draw(30, rng())
    assert all(space.params(arch) <= 2000 for arch in drawn) and len(set(drawn)) > 3
    assert limits.draw(30, rng()) == drawn == pickle.loads(pickle.dumps(limits)).draw(30, rng())


def test_a_lax_limit_draws_as_the_space_does() -> None:
    generator = rng()
    complying = [arch for arch in (SMALL.sample(generator) for _ in range(60)) if SMALL.params(arch) <= 8000]
    assert limits_of(SMALL, "params <= 8000").draw(20, rng()) == complying[:20]


@pytest.mark.parametrize("space", [SMALL, LARGE])
def test_the_nearest_member_is_near(space: ToySpace) -> None:
    limits, dear = limits_of(space, "params <= 6000"), Architecture({f"layers.{i}": 1 for i in range(space.n_layers)})
    found = limits.nearest(dear, rng())
    assert space.params(found) <= 6000 and sum(found[name] != dear[name] for name in dear) <= space.n_layers - 3
    assert limits.nearest(found, rng()) is found


def test_what_breaks_a_limit_on_a_timed_cost_is_not_known() -> None:
    limits = limits_of(SMALL, "latency_ms <= 1")
    assert len(limits.draw(5, rng())) == 5


def test_no_member_complies() -> None:
    for find in (lambda limits: limits.draw(1, rng()), lambda limits: limits.nearest(SMALL.default, rng())):
        with pytest.raises(InfeasibleError, match="no architecture was found that meets params <= 1: loosen it"):
            find(limits_of(SMALL, "params <= 1"))


def test_none_is_drawn_twice_where_that_is_asked() -> None:
    sampler, seen = limits_of(SMALL, "params <= 2000").sampler(rng()), list[Architecture]()
    while (point := sampler.draw(lambda arch: arch not in seen)) is not None:
        seen.append(point)
    assert len(seen) == 6 and not sampler.region.exhaustion
