import numpy as np

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.constraint_predictors import ConstraintPredictors
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=3, n_options=4)
EVERYONE = list(SPACE.enumerate())


def pool() -> CandidatePool:
    found = CandidatePool(SPACE)
    found.add(EVERYONE)
    return found


def evaluations(n: int) -> list[Evaluation]:
    chosen = np.random.default_rng(0).permutation(len(EVERYONE))[:n]
    archs = [EVERYONE[i] for i in chosen]
    return [Evaluation(arch, {"accuracy": SPACE.accuracy(arch), "params": SPACE.params(arch)}) for arch in archs]


def predictors() -> ConstraintPredictors:
    return ConstraintPredictors(GaussianProcessPredictor, max_observations=30, rng=np.random.default_rng(0))


def test_it_predicts_which_candidates_comply() -> None:
    goal, constraints = Goal.parse("accuracy", "params <= 5000"), predictors()
    constraints.fit(pool(), goal, evaluations(40))
    assert len(constraints.fitted["params"].evaluations) == 30
    prob = constraints.feasible_prob(goal)
    assert prob is not None and prob.shape == (len(EVERYONE),)
    complies = np.array([SPACE.params(arch) <= 5000 for arch in EVERYONE])
    assert prob[complies].min() > prob[~complies].mean() and ((prob > 0.5) == complies).mean() > 0.9


def test_probabilities_of_several_constraints_multiply() -> None:
    goal, constraints = Goal.parse("accuracy", ["params <= 5000", "accuracy >= 0.3"]), predictors()
    constraints.fit(pool(), goal, evaluations(20))
    both = constraints.feasible_prob(goal)
    alone = [constraints.feasible_prob(Goal.parse("accuracy", c)) for c in ("params <= 5000", "accuracy >= 0.3")]
    assert both is not None and alone[0] is not None and alone[1] is not None
    np.testing.assert_allclose(both, alone[0] * alone[1])


def test_observations_between_fits_count() -> None:
    goal, constraints, seen = Goal.parse("accuracy", "params <= 5000"), predictors(), evaluations(12)
    constraints.fit(pool(), goal, seen[:10])
    for evaluation in (*seen[10:], seen[0], Evaluation(EVERYONE[0], {}, status="failed")):
        constraints.add(goal, evaluation)
    assert constraints.fitted["params"].evaluations == seen


def test_without_two_reports_nothing_is_predicted() -> None:
    goal, constraints = Goal.parse("accuracy", "params <= 5000"), predictors()
    constraints.fit(pool(), goal, evaluations(1))
    assert constraints.feasible_prob(goal) is None
    relative = Goal.parse("accuracy", "params <= 0.9 * baseline")
    constraints.fit(pool(), relative, evaluations(10))
    assert not constraints.fitted and constraints.feasible_prob(relative) is None
