"""Candidate generation: the whole of a small space, random, mutated and crossed architectures of a large one.

The mixture follows White et al. (AAAI 2021, "BANANAS", arXiv:1910.11858, section 4), who mutate the best. Deviations:
crossovers, random architectures and the neighbours of the most promising candidates are ranked too.
"""

from collections.abc import Collection, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.coded_decisions import Codes
from raynas.core.feasible_region import FeasibleRegion
from raynas.core.feasible_sampler import FeasibleSampler
from raynas.core.level_splitting import N_STEPS
from raynas.core.space import SearchSpace
from raynas.strategies.predictors.candidate_pool import CandidatePool, Identities

N_CLIMBS = 2
"""Number of times that neighbours of the most promising candidates join a pool that is not the whole space."""
_N_CENTRES, _N_NEIGHBOURS = 3, 40
"""Candidates whose neighbours join in one climb, and the maximum number of neighbours of each."""
_MAX_TRIES = 100


class Candidates:
    """Makes the pools that a predictor ranks.

    Args:
        space: the space to search.
        merges_twins: treat architectures that compute the same function as one.
        max_enumerated: the largest space that is ranked as a whole.
        n_candidates: number of candidates drawn from larger spaces.
        rng: source of all randomness.
        region: of the architectures that meet limits on costs; where it is small, candidates are drawn from it.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        merges_twins: bool,
        max_enumerated: int,
        n_candidates: int,
        rng: np.random.Generator,
        region: FeasibleRegion,
    ) -> None:
        self.space, self.n_candidates, self.rng, self.region = space, n_candidates, rng, region
        self.identities = Identities(space, merges_twins=merges_twins)
        self.are_whole_space = space.size <= max_enumerated
        self._whole: CandidatePool | None = None
        self._scales: dict[str, float] | None = None

    def key(self, arch: Architecture) -> Hashable:
        """Return the identity of an architecture: its function where twins are merged."""
        return self.identities.key(arch)

    def whole(self) -> CandidatePool:
        """Return the pool of the whole space, always the same object."""
        if self._whole is None:
            self._whole = CandidatePool(self.space, self.identities)
            self._whole.add(self.space.enumerate())
        return self._whole

    def pool(self, best: Sequence[Architecture]) -> CandidatePool:
        """Return the whole space, or fresh candidates: random ones, mutations and crossovers of the best."""
        if self.are_whole_space:
            return self.whole()
        n, coded, parents = self.n_candidates // 4, self.space.coded, self.identities.codes(best)
        drawn = self.region.draw(n) if self.region.is_small else coded.sample(n, self.rng)
        mutated = self._mutated(parents[self.rng.integers(len(best), size=2 * n)])
        first, second = self.rng.integers(len(best), size=(2, n))
        crossed = coded.crossover(parents[first], parents[second], self.rng)
        pool = CandidatePool(self.space, self.identities, self._scales)
        made = np.vstack((mutated, crossed))
        pool.add_codes(np.vstack((drawn, made[self.region.includes(made)])))
        self._scales = dict(pool.scales or {})
        return pool

    def climb(self, pool: CandidatePool, ranks: NDArray[np.float64]) -> bool:
        """Add neighbours of the most promising candidates; return True if any is new."""
        n_before = len(pool)
        for index in np.argsort(-ranks, kind="stable")[:_N_CENTRES]:
            neighbours = self.space.coded.neighbours(pool.codes[index])
            neighbours = neighbours[self.region.includes(neighbours)]
            pool.add_codes(neighbours[self.rng.permutation(len(neighbours))[:_N_NEIGHBOURS]])
        return len(pool) > n_before

    def sample(self, n: int) -> list[Architecture]:
        """Draw n architectures; from an enumerated space without replacement, and at most all of them.

        None of them breaks a hard limit on a cost that follows from shapes alone, so there may be fewer.
        """
        if self.region.limits.counted(self.region.goal):
            return self._sample_within_limits(n)
        if self.are_whole_space:
            pool = self.whole()
            return [pool.archs[i] for i in self.rng.choice(len(pool), min(n, len(pool)), replace=False)]
        return [self.space.sample(self.rng) for _ in range(n)]

    def _sample_within_limits(self, n: int) -> list[Architecture]:
        sampler = FeasibleSampler(self.region)
        found: dict[Architecture, None] = {}
        for _ in range(n):
            point = sampler.draw((lambda arch: arch not in found) if self.are_whole_space else lambda arch: True)
            if point is None:
                break
            found[point] = None
        return list(found)

    def complies(self, arch: Architecture) -> bool:
        """Return True if an architecture breaks no hard limit on a cost that follows from shapes alone."""
        return FeasibleSampler(self.region).complies(arch)

    def draw_new(self, excluded: Collection[Hashable]) -> Architecture | None:
        """Draw an architecture whose key is not excluded; in an enumerated space every function is equally probable.

        Where few architectures meet limits on costs it is one that probably does.

        Returns:
            None if an enumerated space has nothing left; an excluded architecture after 100 tries in a larger one.
        """
        if self.are_whole_space:
            pool = self.whole()
            left = [i for i, key in enumerate(pool.keys) if key not in excluded]
            left = [i for i, meets in zip(left, self.region.includes(pool.codes[left]), strict=True) if meets]
            return pool.arch(left[int(self.rng.integers(len(left)))]) if left else None
        found = self.region.sample(lambda arch: self.key(arch) not in excluded, lambda arch: True)
        if found is not None:
            return found
        for _ in range(_MAX_TRIES):
            arch = self.space.sample(self.rng)
            if self.key(arch) not in excluded:
                break
        return arch

    def _mutated(self, codes: Codes) -> Codes:
        """Mutate each architecture twice or more often, each further time half as probable.

        In a small region most of these would leave it: there each takes a walk inside.
        """
        if self.region.is_small:
            return self.region.walked(codes, N_STEPS)
        times = 1 + self.rng.geometric(0.5, size=len(codes))
        for n in range(int(times.max())):
            codes[times > n] = self.space.coded.mutate(codes[times > n], self.rng)
        return codes
