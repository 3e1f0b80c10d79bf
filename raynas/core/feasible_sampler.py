"""FeasibleSampler: members that meet limits on costs, for what is scored or trained without being proposed."""

from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import CostLimits, Costs
from raynas.core.feasible_region import MAX_COUNTED, FeasibleRegion, Test
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.errors import InfeasibleError

MAX_DRAWS = 1000
"""Maximum number of draws for one member."""

MAX_KNOWN = 100_000
"""Maximum number of costs that ``MemberLimits`` remembers."""


def _any(point: Architecture) -> bool:
    return True


class FeasibleSampler:
    """Gives members that break no hard limit on a cost that follows from the shapes of a network alone.

    Such costs are known before anything is trained, and cheap. Draws are uniform as long as enough of them comply;
    otherwise they come from the region, as those of a search do.

    Args:
        region: of the architectures that meet the limits; it learns from what is measured here.
    """

    def __init__(self, region: FeasibleRegion) -> None:
        self.region = region

    def complies(self, point: Architecture) -> bool:
        """Return True if a point breaks no such limit; what cannot be measured breaks it."""
        return self.region.limits.keeps(point, self.region.limits.counted(self.region.goal))

    def draw(self, is_free: Test = _any) -> Architecture | None:
        """Draw a member that complies.

        Args:
            is_free: tells which members may be drawn.

        Returns:
            None if none was found.
        """
        region = self.region
        for _ in range(MAX_DRAWS):
            drawn = region.sample(is_free, self.complies)
            point = region.space.sample(region.rng) if drawn is None else drawn
            if not is_free(point):
                continue
            if self.complies(point):
                region.note_accepted()
                return point
            if (made := region.repaired(point, is_free, self.complies)) is not None:
                return made
            if region.exhaustion:
                break
        region.note_accepted()  # a design may ask for more members than there are, which ends no search
        return None

    def nearest(self, point: Architecture) -> Architecture | None:
        """Return a point if it complies, otherwise a member that few changes make of it; None if none was found."""
        if self.complies(point):
            return point
        tried = {point}

        def complies(made: Architecture) -> bool:
            tried.add(made)
            return self.complies(made)

        near = self.region.near(point, lambda made: made not in tried)
        return next(filter(complies, islice(near, MAX_COUNTED)), None)

    def found(self, point: Architecture | None) -> Architecture:
        """Return what was drawn or made.

        Raises:
            InfeasibleError: if there is nothing.
        """
        if point is None:
            limits = ", ".join(map(str, self.region.goal.hard))
            raise InfeasibleError(f"no architecture was found that meets {limits}: loosen it or choose a larger space")
        return point


@dataclass(frozen=True, kw_only=True)
class MemberLimits:
    """Hard limits on costs of the members of a space, for what draws them outside of a search.

    Args:
        space: the space.
        goal: has the limits, no relative ones.
        costs: the costs that are limited, by name; each is measured once of an architecture.
    """

    space: SearchSpace
    goal: Goal
    costs: Costs
    _known: dict[tuple[str, Architecture], float] = field(default_factory=dict, repr=False, compare=False)

    def draw(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Draw n members that comply; they follow from ``rng`` alone.

        Raises:
            InfeasibleError: if none was found.
        """
        sampler = self.sampler(rng)
        return [sampler.found(sampler.draw()) for _ in range(n)]

    def nearest(self, point: Architecture, rng: np.random.Generator) -> Architecture:
        """Return a point if it complies, otherwise a member that few changes make of it.

        Raises:
            InfeasibleError: if none was found.
        """
        sampler = self.sampler(rng)
        return sampler.found(sampler.nearest(point))

    def sampler(self, rng: np.random.Generator) -> FeasibleSampler:
        """Return a sampler that has not learned anything."""
        costs = {name: partial(self._cost, name) for name in self.costs}
        return FeasibleSampler(FeasibleRegion(self.space, CostLimits(self.space, costs), self.goal, rng))

    def _cost(self, name: str, arch: Architecture) -> float:
        if (name, arch) not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[name, arch] = self.costs[name](arch)
        return self._known[name, arch]
