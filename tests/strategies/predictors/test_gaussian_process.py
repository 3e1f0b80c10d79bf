from raynas.strategies import GaussianProcess
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
        "3 3 3 cosine",  # the best, as soon as there is a model
        "0 3 3",
        "3 3 3 linear",
        "3 3 1 cosine",
        "3 2 3 cosine",
    ]
