"""Search with a predictor: learn from evaluations, rank candidates, propose the most promising.

The framework that White et al. (AAAI 2021, "BANANAS", arXiv:1910.11858) call "BO plus predictor".
"""

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.archive import Record
from raynas.core.constrained_searcher import ConstrainedSearcher
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.novelty import MAX_STEPS
from raynas.strategies.predictors.acquisition import Acquisition, Ranking
from raynas.strategies.predictors.candidates import N_CLIMBS, Candidates
from raynas.strategies.predictors.constraint_predictors import ConstraintPredictors
from raynas.strategies.predictors.fitted_predictor import FittedPredictor
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.refit_schedule import GROWTH, RefitSchedule
from raynas.strategies.predictors.restarts import Restarts
from raynas.strategies.predictors.targets import best_and_latest, objective_targets
from raynas.strategies.predictors.zero_cost_ranks import Scores
from raynas.strategies.predictors.zero_cost_screen import ZeroCost, ZeroCostScreen

_N_PARENTS = 10
"""Number of best architectures that candidates are mutated and crossed from."""


class PredictorSearcher(ArchitectureSearcher):
    """The searcher of all strategies with a predictor.

    Hard constraints that only a trial can tell are predicted like the objective: candidates that probably comply are
    proposed first. With several objectives each proposal draws another random weighting of them.

    Args:
        space: the space to search.
        goal: the goal of the search.
        predictor: makes a fresh predictor; one more is made per constraint.
        screen: zero-cost scores that help the predictor.
        n_initial: architectures before the predictor is used.
        acquisition: a name in ``ACQUISITIONS``.
        exploration: number of standard deviations that "ucb" adds.
        max_observations: the maximum number of evaluations to learn from, the better half and the latest.
        max_enumerated: the largest space that is ranked as a whole.
        n_candidates: number of candidates ranked in larger spaces.
        renewal: factor by which observations grow between two fits.
        local_share: probability that a proposal is a mutation of one of the best, while the predictor explains nothing.
        restart_after: number of proposals in a row without improvement after which the search starts again elsewhere;
            0 for never. Without effect in a space that is ranked as a whole, and for several objectives.
        options: of ``ArchitectureSearcher``.

    Raises:
        UnknownNameError: if ``screen`` names a metric that is not among the costs.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        predictor: Callable[[], Predictor],
        screen: ZeroCost | None = None,
        n_initial: int = 5,
        acquisition: Acquisition = "ucb",
        exploration: float = 1.0,
        max_observations: int = 300,
        max_enumerated: int = 20_000,
        n_candidates: int = 500,
        renewal: float = GROWTH,
        local_share: float = 0.0,
        restart_after: int = 0,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.n_initial, self.max_observations = n_initial, max_observations
        self.local_share, self._unexplained = local_share, 0.0
        self.candidates = Candidates(
            space,
            # Twins have the same score but not the same costs: a dead edge has parameters.
            merges_twins=len(self.goal.objectives) == 1 and not self.goal.constraints,
            max_enumerated=max_enumerated,
            n_candidates=n_candidates,
            rng=self.rng,
            region=self.region,
        )
        can_restart = not self.candidates.are_whole_space and len(self.goal.objectives) == 1
        self.restarts = Restarts(space.coded, restart_after if can_restart else 0)
        self._n_restarts_fitted = 0
        self.schedule = RefitSchedule(renewal)
        self.ranking = Ranking(acquisition, exploration, self.rng)
        self.objective = FittedPredictor(predictor())
        self.constraints = ConstraintPredictors(predictor, max_observations=max_observations, rng=self.rng)
        self.screen = (
            ZeroCostScreen(screen, self.costs, predictor(), self._note_scores, self.rng) if screen is not None else None
        )
        self._ranked = self.objective  # or the predictor of the screen, which knows zero-cost ranks
        self._seen: dict[Architecture, Evaluation] = {}
        self._tried: set[Hashable] = set()

    needs_no_replay = True

    def replay(self, records: Iterable[Record]) -> None:
        records = list(records)
        self._recall_scores(records)
        super().replay(records)

    def recall(self, records: Iterable[Record]) -> None:
        records = list(records)
        self._recall_scores(records)
        super().recall(records)

    def _recall_scores(self, records: Sequence[Record]) -> None:
        if self.screen is not None:
            self.screen.recall(records)

    def _recall_proposal(self, point: Architecture, *, is_own: bool) -> None:
        super()._recall_proposal(point, is_own=is_own)
        if is_own and len(self._seen) + len(self.running) > self.n_initial:
            self.restarts.note_proposal(point)

    def observe(self, evaluation: Evaluation) -> None:
        self._tried.add(self.candidates.key(evaluation.arch))
        self._seen[evaluation.arch] = evaluation
        self.restarts.observe(evaluation, self.goal)

    def propose(self) -> Architecture | None:
        scored = [e for e in self._seen.values() if np.isfinite(self.goal.violation(e))]
        if len(scored) < 2 or len(scored) + len(self.running) < self.n_initial:
            return self._initial()
        if self.schedule.is_due(len(self._seen), self.goal) or self._n_restarts_fitted < len(self.restarts.optima):
            self._fit(scored)
        climb = self._of_this_climb(scored)
        near = self._near_the_best(climb) if climb and self._distrusts() else None
        proposed = near or self._most_promising()
        if proposed is not None:
            self.restarts.note_proposal(proposed)
        return proposed

    def join(self, other: ConstrainedSearcher) -> None:
        super().join(other)
        self.candidates.region = self.region

    def _distrusts(self) -> bool:
        """Return True as often as the predictor fails to explain its observations."""
        return self.local_share > 0 and self.rng.random() < self.local_share * self._unexplained

    def _of_this_climb(self, scored: Sequence[Evaluation]) -> Sequence[Evaluation]:
        """Return those of the current climb, none before its start."""
        return [e for e in scored if e.arch in self.restarts.climb]

    def _near_the_best(self, scored: Sequence[Evaluation]) -> Architecture | None:
        """Mutate one of the best, the k-th with probability 1 / 2^k, until it is new; None if that takes too long."""
        best = self.goal.sort(scored)
        arch = best[min(int(self.rng.geometric(0.5)), len(best)) - 1].arch
        excluded = self._excluded()
        for _ in range(MAX_STEPS):
            arch = self.space.mutate(arch, self.rng)
            if self.candidates.key(arch) not in excluded:
                return arch
        return None

    def _note_scores(self, arch: Architecture, scores: Scores) -> None:
        self._record("scored", config={"arch": arch.to_config()}, scores=scores)

    def _excluded(self) -> set[Hashable]:
        return self._tried.union(map(self.candidates.key, self.running))

    def _initial(self) -> Architecture | None:
        """Propose the best of the initial design that was not tried; a random architecture if all were."""
        design = self.screen.initial_design(self.candidates) if self.screen is not None else ()
        excluded = self._excluded()
        best = next((arch for arch in design if self.candidates.key(arch) not in excluded), None)
        return best if best is not None else self.candidates.draw_new(excluded)

    def _fit(self, scored: Sequence[Evaluation]) -> None:
        """Choose the candidates and the evaluations to learn from, and fit all predictors."""
        if self.screen is not None:
            self.screen.initial_design(self.candidates)
        best = [e.arch for e in self.goal.sort(scored)]
        kept = best_and_latest(scored, best, self.max_observations)
        parents = [e.arch for e in self.goal.sort(self._of_this_climb(scored))] or best
        pool = self.candidates.pool(parents[:_N_PARENTS])
        pool.add(self._seen)
        pool.add(self.running)
        self.schedule.note_fit(len(self._seen), self.goal)
        self._n_restarts_fitted = len(self.restarts.optima)
        targets = objective_targets(self.goal, kept, self.rng)
        self.objective.fit(pool, kept, targets, self.rng)
        self._unexplained = self.objective.unexplained(targets)
        self.constraints.fit(pool, self.goal, list(self._seen.values()))
        if not self.candidates.are_whole_space:
            for _ in range(N_CLIMBS):
                if self.candidates.climb(pool, self._ranks_of(self.objective)):
                    self.objective.extend()
                    self.constraints.extend()
        self._ranked = self._screened()

    def _screened(self) -> FittedPredictor:
        """Fit the predictor of the screen to some of the candidates; return ``objective`` where there is no screen."""
        if self.screen is None or self.screen.settings.use == "start":
            return self.objective
        return self.screen.fit(
            self.objective,
            lambda: self._ranks_of(self.objective),
            self.goal,
            self.running,
            self._excluded(),
            self.candidates.complies,
        )

    def _ranks_of(self, objective: FittedPredictor) -> NDArray[np.float64]:
        """Rank the candidates of a pool; last are those that the climb or a limit on costs excludes."""
        ranks = self.ranking(self.goal, objective, self.constraints, self.running)
        codes = objective.pool.codes
        allowed = self.restarts.allowed(codes) & self.region.includes(codes)
        return ranks if allowed.all() else np.where(allowed, ranks, ranks - np.ptp(ranks) - 1.0)

    def _most_promising(self) -> Architecture | None:
        excluded = self._excluded()
        if self._ranked is not self.objective and excluded.issuperset(self._ranked.pool.keys):
            self._ranked = self._screened()
        for evaluation in list(self._seen.values())[self.schedule.n_fitted :]:
            if np.isfinite(self.goal.violation(evaluation)):
                self._ranked.add(evaluation)
            self.constraints.add(self.goal, evaluation)
        pool = self._ranked.pool
        for index in np.argsort(-self._ranks_of(self._ranked), kind="stable"):
            if pool.keys[index] not in excluded:
                return pool.arch(int(index))
        return None if self.candidates.are_whole_space else self.candidates.draw_new(excluded)
