"""Limits of a compression, resolved once, and members that meet them without being proposed by a strategy."""

from collections.abc import Collection
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import CostLimits, Costs
from raynas.core.feasible_region import FeasibleRegion
from raynas.core.feasible_sampler import FeasibleSampler
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.errors import ContentError
from raynas.files.content import read_file
from raynas.files.replacing import write_whole

FILE = "compression.json"
"""File of what a compression has settled, in its folder: the same command goes by it."""

MAX_BYTES = 2**22
MAX_TRIES = 200
"""Number of draws for each random member."""


class Settled(Struct, kw_only=True):
    """Decisions of a compression that a measurement made once.

    Args:
        constraints: limits as the user wrote them.
        given: metrics of the given model.
        limits: the limits with numbers.
        uniform: the member of uniform width; None if there is none, or nothing is compared.
        random: random members.
    """

    constraints: list[str]
    given: dict[str, float]
    limits: list[str]
    uniform: dict[str, str | int | float | bool] | None = None
    random: list[dict[str, str | int | float | bool]] = []


def read_settled(folder: Path) -> Settled | None:
    """Return what an earlier run settled; None if there is nothing.

    Raises:
        ContentError: if the file is damaged.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(read_file(file, MAX_BYTES), type=Settled)
    except msgspec.DecodeError as error:
        raise ContentError(f"{file} cannot be read: {error}; remove {folder} to begin again") from None


def write_settled(settled: Settled, folder: Path) -> None:
    """Write what is settled, at once or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(settled)).decode() + "\n")


def drawn_within(
    space: SearchSpace, goal: Goal, costs: Costs, n: int, *, seed: int, without: Collection[Architecture] = ()
) -> list[Architecture]:
    """Draw different members that meet all hard limits which need no training; fewer if not so many are found.

    Args:
        space: the space.
        goal: has the limits, no relative ones.
        costs: measurements of what is limited.
        n: number of members.
        seed: of the draw.
        without: members that are not wanted.
    """
    limits = CostLimits(space, costs)
    sampler = FeasibleSampler(FeasibleRegion(space, limits, goal, np.random.default_rng(seed)))
    found: list[Architecture] = []
    tried = set(without)
    for _ in range(n * MAX_TRIES):
        if len(found) == n:
            break
        point = sampler.draw(lambda point: point not in tried)
        if point is None:
            break
        tried.add(point)
        if limits.keeps(point, limits.applied(goal)):
            found.append(point)
    return found


def complies_with(space: SearchSpace, goal: Goal, costs: Costs, arch: Architecture) -> bool:
    """Return True if a member meets all hard limits which need no training."""
    limits = CostLimits(space, costs)
    return limits.keeps(arch, limits.applied(goal))
