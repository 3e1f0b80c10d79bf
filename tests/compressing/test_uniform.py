"""The member of uniform width."""

import torch
from torch import nn

import raynas
from raynas.compressing.limits import drawn_within
from raynas.compressing.uniform import uniform_member
from raynas.converting import Depth, Width
from raynas.metrics import METRICS, Measurer, read_goal
from tests.trials.test_inherited import Block

MODEL = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 4))


def test_all_widths_have_the_largest_share_that_complies() -> None:
    space = raynas.convert(MODEL, torch.rand(2, 8), vary={"*": Width(0.25, 0.5, 0.75, 1.0)})
    params = Measurer(space).costs([METRICS["params"]])["params"]
    found = uniform_member(space, lambda arch: params(arch) <= 0.5 * params(space.largest))
    assert found is not None and list(found.values()) == [32, 64]
    assert uniform_member(space, lambda arch: True) == space.largest
    assert uniform_member(space, lambda arch: False) is None


def test_depth_shrinks_only_where_widths_do_not_suffice() -> None:
    blocks = nn.Sequential(*(Block() for _ in range(4)))
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8), blocks, nn.Linear(8, 2))
    space = raynas.convert(model, torch.rand(2, 8), vary={"0": Width(0.5, 1.0), "3": Depth(1, 2, 4)}, divisor=1)
    params = Measurer(space).costs([METRICS["params"]])["params"]
    (depth,) = space.plan.depths
    by_width = uniform_member(space, lambda arch: params(arch) <= params(space.largest) - 1)
    assert by_width is not None and by_width[depth] == 4
    limit = params(space.smallest)
    assert uniform_member(space, lambda arch: params(arch) <= limit) == space.smallest


def test_random_members_are_different_ones_within_the_limits() -> None:
    space = raynas.convert(MODEL, torch.rand(2, 8), vary={"*": Width(0.25, 0.5, 0.75, 1.0)})
    costs = Measurer(space).costs([METRICS["params"]])
    goal = read_goal(constraints=f"params <= {0.4 * costs['params'](space.largest)}")
    found = drawn_within(space, goal, costs, 4, seed=0, without=[space.smallest])
    assert len(set(found)) == 4 and space.smallest not in found
    assert all(costs["params"](arch) <= goal.constraints[0].limit for arch in found)
    assert found == drawn_within(space, goal, costs, 4, seed=0, without=[space.smallest])
    assert len(drawn_within(space, goal, costs, 500, seed=0)) < 500
