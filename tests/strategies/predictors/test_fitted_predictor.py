from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.evaluation import Evaluation
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.fitted_predictor import FittedPredictor
from raynas.strategies.predictors.predictor import Posterior, Predictor
from raynas.testing import ToySpace

Array = NDArray[np.float64]
SPACE = ToySpace(n_layers=2, n_options=3)
ARCHS = list(SPACE.enumerate())
RNG = np.random.default_rng(0)


class Recorder(Predictor):
    """Predicts nothing, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []

    def fit(self, pool: CandidatePool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        self.calls.append(("fit", list(observed)))

    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        self.calls.append(("posterior", list(pending)))
        return Posterior(np.zeros(len(pool)), np.ones(len(pool)))

    def add(self, pool: CandidatePool, index: int) -> None:
        self.calls.append(("add", [index]))

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        self.calls.append(("extend", list(observed)))


def evaluation(index: int) -> Evaluation:
    return Evaluation(ARCHS[index], {"accuracy": 0.5})


def test_the_predictor_knows_each_evaluation_once() -> None:
    pool, predictor = CandidatePool(SPACE), Recorder()
    pool.add(ARCHS[:6])
    fitted = FittedPredictor(predictor)
    fitted.fit(pool, [evaluation(3), evaluation(1)], np.zeros(2), RNG)
    for index in (4, 4, 3, 8):  # known by now, known from the fit, not a candidate
        fitted.add(evaluation(index))
    pool.add(ARCHS)
    fitted.extend()
    assert len(fitted.posterior(np.zeros(3), [ARCHS[5]], RNG).mean) == len(ARCHS)
    assert [e.arch for e in fitted.evaluations] == [ARCHS[i] for i in (3, 1, 4)]
    assert predictor.calls == [("fit", [3, 1]), ("add", [4]), ("extend", [3, 1, 4]), ("posterior", [5])]
    fitted.fit(pool, [evaluation(8)], np.zeros(1), RNG)
    assert fitted.evaluations == [evaluation(8)] and predictor.calls[-1] == ("fit", [8])
