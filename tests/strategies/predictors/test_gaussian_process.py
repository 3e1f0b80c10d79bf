import numpy as np

from raynas.strategies import GaussianProcess
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=4)


def test_it_finds_the_optimum_of_a_sum_soon() -> None:
    space = ToySpace(n_layers=5, n_options=4)  # of 1,280 members
    for settings in ({}, {"max_enumerated": 0}, {"acquisition": "ei"}):
        searcher = GaussianProcess(**settings).searcher(space, costs={})
        configs = run_trials(searcher, space.result, 25)
        assert max(space.accuracy(config["arch"]) for config in configs) >= 0.93


def test_golden_trajectory() -> None:
    searcher = GaussianProcess().searcher(SPACE, costs={}, seed=0)
    configs = run_trials(searcher, SPACE.result, 10)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "3 2 2 linear",
        "3 0 1 linear",
        "2 1 3",
        "1 1 0",
        "1 2 0",
        "1 0 1",  # a mutation: five observations explain nothing yet
        "3 3 3 cosine",  # the best, as soon as there is a model
        "0 3 3",
        "3 3 3 linear",
        "3 3 1 cosine",
    ]


def test_noise_counts_as_a_chance() -> None:
    """The latent standard deviation of an observed point goes to 0; that of another score there does not."""
    pool = CandidatePool(SPACE)
    pool.add(SPACE.enumerate())
    rng = np.random.default_rng(0)
    observed = [int(i) for i in rng.integers(len(pool), size=60)]
    targets = rng.standard_normal(60)
    predictor = GaussianProcessPredictor()
    predictor.fit(pool, observed, targets, rng)
    assert predictor.noise > 0.3, "all of it is noise"
    assert (predictor.posterior(pool, targets, [], rng).std ** 2 >= predictor.noise).all()
