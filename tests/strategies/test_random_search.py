from raynas.strategies import RandomSearch
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=3)


def test_golden_trajectory() -> None:
    configs = run_trials(RandomSearch().searcher(SPACE, costs={}, seed=0), SPACE.result, 6)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "2 1 1 linear",
        "0 0 0",
        "0 0 2",
        "1 2 1",
        "1 2 2",
        "1 1 1",
    ]


def test_draws_every_option_equally_often() -> None:
    searcher = RandomSearch().searcher(SPACE, costs={}, seed=0)
    drawn = [searcher.propose() for _ in range(3000)]
    for name in ("layers.0", "layers.1", "layers.2"):
        for option in range(3):
            assert 0.3 < sum(arch is not None and arch[name] == option for arch in drawn) / 3000 < 0.37
    heads = [arch["head"] for arch in drawn if arch is not None and "head" in arch]
    assert 0.45 < heads.count("linear") / len(heads) < 0.55
