"""FeasibleRegion: the part of a space that meets the limits on costs, where few members do."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.coded_decisions import Codes
from raynas.core.cost_limits import CostLimits, is_counted
from raynas.core.cost_surrogate import CostSurrogate
from raynas.core.features import encoded
from raynas.core.goal import Goal
from raynas.core.level_splitting import drawn_below, walked
from raynas.core.space import SearchSpace

PATIENCE = 20
"""Number of proposals refused in a row after which the region counts as small."""
MAX_MEASURED, MAX_COUNTED = 60, 300
"""Maximum number of architectures that are measured to repair one proposal: of costs that may take seconds, and of
those that follow from the shapes of a network."""

MAX_UNREPAIRED = 3
"""Number of proposals in a row that nothing feasible was found for before the region counts as exhausted."""

MAX_ENUMERATED, N_DRAWN = 20_000, 200
"""Largest space of which all members are predicted, and number of members of others that are drawn at a time."""
N_DESCENTS, N_AROUND, N_NEAR = 2, 3, 10
"""Maximum numbers of points of each kind that are tried before the surrogate, which learns from them, is asked again:
at the end of a descent, around the best that was measured, and drawn."""
MAX_FITTED = 1000
"""Maximum number of measured costs that a surrogate is fitted to, the latest."""
N_CENTRES = 5
"""Number of measured architectures whose neighbours are looked at."""
N_ERRORS, N_ERRORS_DRAWN = 4.0, 1.0
"""Number of errors of a surrogate beyond which it is believed, and by which points that are drawn may break limits."""
N_REDRAWN = 3
"""Maximum number of times that points are drawn for one sample."""
_GROWTH = 1.05
"""Factor by which measured costs grow between two fits."""
_TOLERANCE = 1e-6
"""Predicted violation that rounding alone explains."""

Test = Callable[[Architecture], bool]


class FeasibleRegion:
    """Points that probably meet the limits on costs: drawn, or made of points that do not, by few changes.

    A surrogate predicts costs from those measured so far. So its points are to be measured before they are trusted;
    each that disappoints makes the next ones better. Costs that follow from the shapes of a network alone are measured
    of some random architectures first; others may take seconds.

    As long as proposals meet the limits often enough, the region is not small, and nothing of this is used.

    Args:
        space: the space of the points.
        limits: knows the costs measured so far.
        goal: has the limits; to be set again when relative ones are resolved.
        rng: source of all randomness.
    """

    def __init__(self, space: SearchSpace, limits: CostLimits, goal: Goal, rng: np.random.Generator) -> None:
        self.space, self.goal, self.rng = space, goal, rng
        self.limits = limits
        self._n_refused = self._n_unrepaired = 0
        self._fitted: dict[str, tuple[int, CostSurrogate]] = {}
        self._drawn: list[Codes] = []

    @property
    def is_small(self) -> bool:
        """True if so many proposals in a row were refused that points have to be made to meet the limits."""
        return self._n_refused >= PATIENCE

    @property
    def exhaustion(self) -> str:
        """The reason to end a search: nothing was found for several proposals in a row; otherwise ""."""
        if self._n_unrepaired < MAX_UNREPAIRED:
            return ""
        limits = ", ".join(map(str, self.limits.applied(self.goal)))
        return f"no further architecture was found that meets {limits}"

    def note_refused(self) -> None:
        """Count a proposal that breaks a limit."""
        self._n_refused += 1

    def note_accepted(self) -> None:
        """Count a proposal that meets the limits; a small region stays small."""
        self._n_unrepaired = 0
        if not self.is_small:
            self._n_refused = 0

    def repaired(self, refused: Architecture, is_free: Test, is_accepted: Test) -> Architecture | None:
        """Return a point near a refused proposal, as soon as one proposal after another was refused.

        Args:
            refused: the proposal.
            is_free: tells of a point whether it was neither evaluated nor refused, and is not under evaluation.
            is_accepted: measures a point, and tells whether it meets the limits.

        Returns:
            None if the region is not small, or nothing was found.
        """
        self.note_refused()
        if not self.is_small:
            return None
        most = MAX_COUNTED if self.has_counted_costs else MAX_MEASURED
        point = next(filter(is_accepted, islice(self.near(refused, is_free), most)), None)
        self._n_unrepaired = self._n_unrepaired + 1 if point is None else 0
        return point

    @property
    def has_counted_costs(self) -> bool:
        """True if all limited costs follow from the shapes of a network alone, so that measuring is cheap."""
        return len(self.limits.counted(self.goal)) == len(self.limits.applied(self.goal))

    # --- prediction --------------------------------------------------------------------------------------------------

    def violations(self, codes: Codes, caution: float = 0.0) -> NDArray[np.float64]:
        """Predict by how much points break the limits, ``(n,)``; 0 for those that probably meet them.

        Args:
            codes: the points, ``(n, n_decisions)``.
            caution: number of errors of the surrogate by which limits are tightened; negative, loosened.
        """
        inside = self.space.architecture_space.coded
        features = encoded(inside, codes[:, : len(inside.decisions)])
        total = np.zeros(len(codes))
        for constraint in self.limits.applied(self.goal):
            surrogate = self._surrogate(constraint.metric)
            if surrogate is not None and (caution >= 0 or surrogate.is_sure):
                margin = caution * surrogate.error * (1 if constraint.is_upper else -1)
                total += constraint.violations(surrogate(features) + margin)
        return np.where(total > _TOLERANCE, total, 0.0)

    def includes(self, codes: Codes) -> NDArray[np.bool_]:
        """Return which points probably meet the limits, ``(n,)``; all if none does, or the region is not small."""
        if not self.is_small:
            return np.ones(len(codes), dtype=bool)
        meets = self.violations(codes) == 0
        return np.asarray(meets if meets.any() else ~meets)

    def _surrogate(self, metric: str) -> CostSurrogate | None:
        """Return the surrogate of a cost, fitted again if much was measured since; None if nothing was."""
        known = self.limits.asked.setdefault(metric, {})
        if metric not in self._fitted and is_counted(metric, self.goal):
            known = self._with_random_ones(metric)
        if known and (metric not in self._fitted or len(known) >= _GROWTH * self._fitted[metric][0]):
            latest = list(known)[-MAX_FITTED:]
            coded = self.space.architecture_space.coded
            values = np.array([known[arch] for arch in latest])
            self._fitted[metric] = len(known), CostSurrogate.fit(encoded(coded, coded.encode(latest)), values)
        return self._fitted[metric][1] if metric in self._fitted else None

    def _with_random_ones(self, metric: str) -> dict[Architecture, float]:
        """Measure as many random architectures as there are options."""
        space, known = self.space.architecture_space, self.limits.asked[metric]
        for arch in space.showcase(space.n_features):
            try:
                known.setdefault(arch, self.limits.measure(metric, arch))
            except Exception:  # an architecture that cannot be measured tells nothing
                continue
        return known

    # --- points ------------------------------------------------------------------------------------------------------

    def sample(self, is_free: Test, is_accepted: Test) -> Architecture | None:
        """Draw a point that meets the limits, as uniform draws until one does.

        Where measuring is cheap, points are drawn that may meet the limits, and measured until one does: so those that
        the surrogate is wrong about are drawn as often as others. Costs that may take seconds are not measured for
        that, and the point only probably meets the limits.

        Args:
            is_free: see ``repaired``.
            is_accepted: see ``repaired``.

        Returns:
            None if the region is not small, or no free point was found.
        """
        if not self.is_small:
            return None
        if not self.has_counted_costs:
            return next(filter(is_free, self._draws(0.0)), None)
        free = islice(filter(is_free, self._draws(-N_ERRORS_DRAWN)), MAX_COUNTED)
        return next(filter(is_accepted, free), None)

    def _draws(self, caution: float) -> Iterator[Architecture]:
        """Yield points by chance, none twice, until no more are found; those left are kept for the next call."""
        coded = self.space.coded
        if self._is_enumerable:
            rows = self._members[self.violations(self._members, caution) == 0]
            yield from map(coded.decode, self.rng.permutation(rows))
            return
        for _ in range(N_REDRAWN):
            while self._drawn:
                row = self._drawn.pop()
                if self.violations(row[None], caution)[0] == 0:
                    yield coded.decode(row)
            self._drawn = list(self.rng.permutation(np.unique(self.draw(N_DRAWN, caution), axis=0)))

    def draw(self, n: int, caution: float = 0.0) -> Codes:
        """Draw points that probably meet the limits, not all different, ``(n, n_decisions)``."""
        return drawn_below(self.space.coded, lambda codes: self.violations(codes, caution), n, self.rng)

    def walked(self, codes: Codes, n_steps: int) -> Codes:
        """Let each point take a random walk that does not break the limits more than it does."""
        level = self.violations(codes)
        return walked(self.space.coded, self.violations, codes, level, n_steps, self.rng)

    def near(self, point: Architecture, is_free: Test) -> Iterator[Architecture]:
        """Yield free points that probably meet the limits, first those made of a point by few changes.

        The caller measures each before it asks for the next.
        """
        start = self.space.coded.encode([point])[0]

        def free(rows: Callable[[Codes], Iterable[Codes]], most: int) -> Iterator[Architecture]:
            return islice(filter(is_free, map(self.space.coded.decode, rows(start))), most)

        is_any = True
        while is_any:
            is_any = False
            for made in free(self._descents, N_DESCENTS):
                is_any = True
                yield made
            sources = [(self._around_best, N_AROUND)]
            if self._is_enumerable or not is_any:  # drawing takes long
                sources = [(self._drawn_near, N_NEAR), *sources]
            for made in chain.from_iterable(free(rows, most) for rows, most in sources):
                is_any = True
                yield made

    def _descents(self, start: Codes) -> Iterator[Codes]:
        """Yield points that few changes lead to, ever further inside the limits."""
        ends = [self._descended(start, caution=float(attempt)) for attempt in range(N_DESCENTS)]
        yield from self._promising(np.stack(ends))

    def _drawn_near(self, start: Codes) -> Iterator[Codes]:
        """Yield points drawn in the region, or all members of a small space, those that break limits least first.

        Among equals the nearest to ``start`` come first.
        """
        rows = self._members if self._is_enumerable else self.draw(N_DRAWN)
        distances = (rows != start).sum(axis=1) + self.rng.random(len(rows))
        yield from self._promising(rows[np.argsort(distances)])

    def _around_best(self, start: Codes) -> Iterator[Codes]:
        """Yield the neighbours of the measured architectures that break the limits least, promising ones first.

        This leads on where the surrogate is wrong about its best points.
        """
        own = start[len(self.space.architecture_space.coded.decisions) :]
        best = [np.concatenate((row, own)) for row in self._least_broken()]
        rows = np.vstack([self.space.coded.neighbours(row) for row in best] or [start[None][:0]])
        yield from self._promising(rows[self.rng.permutation(len(rows))])

    def _least_broken(self) -> Codes:
        """Return up to ``N_CENTRES`` measured architectures that break the limits least, without hyperparameters."""
        limits = self.limits.applied(self.goal)
        known = [self.limits.asked.get(constraint.metric, {}) for constraint in limits]
        measured = [arch for arch in known[0] if all(arch in costs for costs in known)]
        values = [np.array([costs[arch] for arch in measured]) for costs in known]
        broken = np.sum([c.violations(each) for c, each in zip(limits, values, strict=True)], axis=0)
        best = np.argsort(broken, kind="stable")[:N_CENTRES]
        return self.space.architecture_space.coded.encode(measured[i] for i in best)

    def _promising(self, rows: Codes) -> Codes:
        """Return those that may meet the limits, as far as the surrogates can be wrong, the most promising first."""
        rows = rows[self.violations(rows, -N_ERRORS) == 0]
        return rows[np.argsort(self.violations(rows), kind="stable")]

    def _descended(self, row: Codes, caution: float) -> Codes:
        """Change decisions, at least one, until the limits are probably met or no change helps any more.

        Each change is drawn from those that meet the limits, or else from those that help at least half as much as the
        best.
        """
        broken = np.inf
        while broken > 0:
            rows = self.space.coded.neighbours(row)
            found = self.violations(rows, caution)
            least = float(found.min(initial=np.inf))
            if least >= broken:
                break
            now = float(self.violations(row[None], caution)[0])
            chosen = int(self.rng.choice(np.flatnonzero(found <= max(least, (least + now) / 2 if least else 0.0))))
            row, broken = rows[chosen], float(found[chosen])
        return row

    @property
    def _is_enumerable(self) -> bool:
        return self.space.size <= MAX_ENUMERATED

    @cached_property
    def _members(self) -> Codes:
        return self.space.coded.encode(self.space.enumerate())
