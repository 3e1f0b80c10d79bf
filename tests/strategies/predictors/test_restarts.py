"""Climbs: a predictor that leads nowhere is noticed and left, one that leads somewhere is trusted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.predictor import Posterior, Predictor
from raynas.strategies.predictors.restarts import Restarts
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=8, n_options=3)
GOAL = Goal()


def at(*layers: int) -> Architecture:
    """Return the member with these first layers, 0 in all others."""
    return SPACE.canonical(
        {d.name: d.options[0] for d in SPACE.decisions} | {f"layers.{i}": v for i, v in enumerate(layers)}
    )


def scored(arch: Architecture, accuracy: float, trial: str = "t") -> Evaluation:
    return Evaluation(arch, {"accuracy": accuracy}, trial=trial)


def climbed(restarts: Restarts, *evaluations: Evaluation) -> None:
    for evaluation in evaluations:
        restarts.note_proposal(evaluation.arch)
        restarts.observe(evaluation, GOAL)


def test_a_climb_ends_after_failures_in_a_row() -> None:
    restarts = Restarts(SPACE.coded, patience=2)
    climbed(restarts, scored(at(0), 0.1), scored(at(0, 1), 0.0), scored(at(0, 2), 0.2), scored(at(0, 0, 1), 0.2))
    assert not restarts.optima and len(restarts.climb) == 4
    climbed(restarts, Evaluation(at(0, 0, 2), {}, status="failed", trial="t"))
    assert restarts.optima == [at(0, 2)], "equal is no improvement, a trial that failed is none"
    assert not restarts.climb


def test_refusals_and_evaluations_of_others_are_no_failures() -> None:
    restarts = Restarts(SPACE.coded, patience=1)
    climbed(restarts, scored(at(0), 0.9), Evaluation(at(1), {}, status="failed"))
    restarts.observe(scored(at(0, 1), 0.1), GOAL)
    assert not restarts.optima
    assert restarts.climb == {at(0), at(1), at(0, 1)}


def test_without_patience_one_climb_lasts() -> None:
    restarts = Restarts(SPACE.coded, patience=0)
    climbed(restarts, scored(at(0), 0.9), *[scored(at(0, 1, i % 3, i // 3), 0.1) for i in range(9)])
    assert not restarts.optima
    assert restarts.allowed(SPACE.coded.encode([at(0), at(2, 2)])).all()


def test_a_late_result_of_an_earlier_climb_does_not_lead_back() -> None:
    restarts = Restarts(SPACE.coded, patience=1)
    restarts.note_proposal(at(0, 0, 1))
    climbed(restarts, scored(at(0), 0.9), scored(at(0, 1), 0.1))
    restarts.observe(scored(at(0, 0, 1), 0.95), GOAL)
    assert restarts.optima == [at(0)] and not restarts.climb


def test_a_new_climb_keeps_away_from_earlier_optima() -> None:
    restarts = Restarts(SPACE.coded, patience=1)
    climbed(restarts, scored(at(0), 0.9), scored(at(0, 1), 0.1))
    candidates = SPACE.coded.encode([at(0, 1, 1), at(0, 1, 1, 1), at(1, 1, 1, 1, 1, 1, 1, 1)])
    assert restarts.allowed(candidates).tolist() == [False, True, True], "at least a quarter of nine decisions differ"
    climbed(restarts, scored(at(0, 1, 1, 1, 1), 0.5))
    nearer_to_the_old, between, nearer_to_the_new = at(0, 1), at(0, 1, 1), at(0, 1, 1, 1)
    candidates = SPACE.coded.encode([nearer_to_the_old, between, nearer_to_the_new])
    assert restarts.allowed(candidates).tolist() == [False, True, True]


class Sum(Predictor):
    """Knows that scores are sums."""

    def fit(
        self, pool: CandidatePool, observed: Sequence[int], targets: NDArray[Any], rng: np.random.Generator
    ) -> None:
        pass

    def posterior(
        self, pool: CandidatePool, targets: NDArray[Any], pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        return Posterior(1.0 * pool.codes.sum(axis=1), np.ones(len(pool)))


class Neighbourhood(Sum):
    """Believes that the best is next to the best observed."""

    def fit(
        self, pool: CandidatePool, observed: Sequence[int], targets: NDArray[Any], rng: np.random.Generator
    ) -> None:
        self.centre = pool.codes[observed[int(targets.argmax())]]

    def posterior(
        self, pool: CandidatePool, targets: NDArray[Any], pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        return Posterior(-1.0 * (pool.codes != self.centre).sum(axis=1), np.ones(len(pool)))


def made(predictor: type[Predictor], **settings: Any) -> PredictorSearcher:
    return PredictorSearcher(SPACE, seed=0, predictor=predictor, max_enumerated=0, n_candidates=40, **settings)


def n_beside_an_isolated_optimum(restart_after: int) -> int:
    """Count the last eight of 20 proposals that differ in one decision from the only good architecture, the first."""
    good = at(1, 1)
    searcher = made(Neighbourhood, restart_after=restart_after, points_to_evaluate=[good])
    run_trials(
        searcher, lambda config: {"accuracy": float(config["arch"] == good.to_config()), "training_iteration": 1}, 20
    )
    codes = SPACE.coded.encode([good, *[e.arch for e in searcher.archive.evaluations[-8:]]])
    return int(((codes[1:] != codes[0]).sum(axis=1) <= 1).sum())


def test_a_predictor_that_leads_nowhere_is_noticed() -> None:
    assert n_beside_an_isolated_optimum(restart_after=0) == 8
    assert n_beside_an_isolated_optimum(restart_after=4) == 0


def test_a_right_predictor_is_trusted() -> None:
    """It climbs to the optimum of 8,748 without a restart."""
    searcher = made(Sum, restart_after=8)
    run_trials(searcher, SPACE.result, 20)
    assert max(SPACE.accuracy(e.arch) for e in searcher.archive.evaluations) == 1.0
    assert {SPACE.accuracy(arch) for arch in searcher.restarts.optima} <= {1.0}


@pytest.mark.parametrize(("max_enumerated", "goal"), [(20_000, GOAL), (0, Goal.parse(["accuracy", "min:params"]))])
def test_whole_spaces_and_fronts_have_no_restarts(max_enumerated: int, goal: Goal) -> None:
    searcher = PredictorSearcher(SPACE, goal, predictor=Sum, max_enumerated=max_enumerated, restart_after=8)
    assert searcher.restarts.patience == 0
