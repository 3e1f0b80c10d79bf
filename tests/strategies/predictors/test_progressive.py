from collections.abc import Mapping
from typing import Any

import pytest
from ray import tune

from raynas.core.architecture import Architecture, Option
from raynas.core.blocks import blocks_of
from raynas.core.evaluation import Evaluation
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.search_spaces import DARTS, NASBench201, NASNet
from raynas.strategies import Progressive
from raynas.strategies.predictors.progressive import ProgressiveSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=3)


def made(space: SearchSpace = SPACE, **settings: Any) -> ProgressiveSearcher:
    return ProgressiveSearcher(space, settings=Progressive(**settings))


def convolutions(arch: Mapping[str, Option]) -> float:
    """Convolutions are good, those that come late in the alphabet of decisions most."""
    return sum(i * ("conv" in str(option)) for i, (_, option) in enumerate(sorted(arch.items()), 1))


def run(n: int, space: SearchSpace = SPACE, **settings: Any) -> list[Architecture]:
    score = space.accuracy if isinstance(space, ToySpace) else convolutions

    def result(config: Mapping[str, Any]) -> dict[str, Any]:
        return {"accuracy": score(config["arch"]), "training_iteration": 1}

    return [space.from_config(config) for config in run_trials(made(space, **settings), result, n)]


def n_blocks(space: SearchSpace, arch: Architecture) -> int:
    """Return the smallest number of blocks that an architecture may have."""
    blocks = blocks_of(space)
    default = {decision.name: decision.default for decision in space.decisions}
    for i, last in enumerate(blocks, 1):
        own = {name: arch[name] for block in blocks[:i] for name in block.names if name in arch}
        if space.canonical({**default, **last.rest, **own}) == arch:
            return i
    raise AssertionError(arch)


def test_golden_trajectory() -> None:
    configs = run_trials(Progressive(beam_size=2, n_first=2).searcher(SPACE, costs={}, seed=0), SPACE.result, 12)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "0 0 0 0",
        "2 0 0 0 linear",
        "2 2 0 0 linear",
        "2 1 0 0 linear",
        "2 2 2 0 linear",
        "2 2 1 0 linear",
        "2 2 2 1 linear",
        "2 2 1 1 linear",
        "2 2 2 1 cosine",
        "2 2 2 0 cosine",
        "2 2 2 2 cosine",
        "2 0 2 1 cosine",
    ]


def test_shares_of_the_budget() -> None:
    """Those of the paper for its 1,160 trials: all 136 cells of one block, then four times 256."""
    assert Progressive().for_budget(1160).sizes(5, 136) == (136, 256)
    assert Progressive(beam_size=7, n_first=3).for_budget(1160).sizes(5, 136) == (3, 7)
    assert Progressive(budget=100).for_budget(1160).sizes(3, 5) == (5, 48)
    assert Progressive().sizes(3, 5) == (5, 48), "an unknown number counts as 100"
    assert Progressive(budget=4).sizes(8, 49) == (1, 1)
    assert Progressive(budget=9).sizes(1, 49) == (9, 1)
    searcher = Progressive().tune_config(NASBench201(), num_samples=23).search_alg
    assert isinstance(searcher, ProgressiveSearcher) and searcher.beam_size == 9


@pytest.mark.parametrize(
    "space", [NASBench201(), DARTS(n_nodes=2), NASNet(n_blocks=2), SPACE], ids=lambda space: space.name
)
def test_sizes_grow_one_block_at_a_time(space: SearchSpace) -> None:
    """Some of one block, then as many of each further size; what is queued as larger may equal a smaller one."""
    n = len(blocks_of(space))
    archs = run(3 + 3 * (n - 1), space, beam_size=3, n_first=3)
    found = [n_blocks(space, arch) for arch in archs]
    expected = [size for size in range(1, n + 1) for _ in range(3)]
    assert found[:3] == [1, 1, 1] and all(a <= b for a, b in zip(found, expected, strict=True))
    assert len(set(archs)) == len(archs) and max(found) == n


def test_in_nas_bench_201_all_cells_of_one_node_come_first() -> None:
    space = NASBench201()
    archs = run(14, space, budget=14)  # 5, then 5 and 4
    assert {arch["edge_0_1"] for arch in archs[:5]} == set(space.operations)
    assert all(arch["edge_1_3"] == "skip_connect" and arch["edge_0_3"] == "none" for arch in archs[:5])
    assert all(arch["edge_2_3"] == "skip_connect" and arch["edge_1_3"] == "none" for arch in archs[5:10])


def test_what_grows_are_the_best_of_the_size_before() -> None:
    space = NASBench201()
    archs = run(5 + 3 * 2, space, beam_size=3, n_first=5)
    ends = sorted((convolutions(arch) for arch in archs[:5]), reverse=True)
    assert {arch["edge_0_1"] for arch in archs[5:8]} <= {a["edge_0_1"] for a in archs[:5] if convolutions(a) >= ends[2]}
    nodes = {(arch["edge_0_1"], arch["edge_0_2"], arch["edge_1_2"]) for arch in archs[5:8]}
    assert {(arch["edge_0_1"], arch["edge_0_2"], arch["edge_1_2"]) for arch in archs[8:]} <= nodes


def test_the_predictor_chooses() -> None:
    """Of 12,125 extensions it tries those with more convolutions than nearly all others have."""
    space = NASBench201()
    archs = run(5 + 40 + 10, space, beam_size=40, n_first=5)
    values = sorted(convolutions(space.sample(made(space).rng)) for _ in range(300))
    assert sum(map(convolutions, archs[45:])) / 10 > values[270]


def test_it_waits_for_the_last_of_a_size() -> None:
    searcher = made(n_first=2, beam_size=2)
    configs = [searcher.suggest(str(i)) for i in range(2)]
    for i, config in enumerate(configs):
        assert searcher.suggest("next") is None
        searcher.on_trial_complete(str(i), SPACE.result(config))
    assert n_blocks(SPACE, SPACE.from_config(searcher.suggest("next"))) == 2


def test_the_best_are_refined_when_nothing_is_left_to_add() -> None:
    archs = run(60, beam_size=4, n_first=3)
    assert len(set(archs)) == 60 and max(map(SPACE.accuracy, archs)) == 1


def test_failures_are_no_part_of_the_beam() -> None:
    searcher = made(n_first=3, beam_size=3)
    for i in range(3):
        arch = searcher.propose()
        assert arch is not None
        searcher.observe(Evaluation(arch, {"accuracy": 0.5} if i == 0 else {}, status="finished"))
    kept = next(iter(searcher.rewards))
    following = [searcher.propose() for _ in range(2)]
    assert all(arch is not None and arch["layers.0"] == kept["layers.0"] for arch in following)


def test_without_any_success_it_goes_on() -> None:
    searcher = made(n_first=2, beam_size=2)
    for _ in range(12):
        arch = searcher.propose()
        assert arch is not None
        searcher.observe(Evaluation(arch, {}, status="failed"))


def test_refusals() -> None:
    with pytest.raises(SpaceError, match="continuous decisions such as 'lr'"):
        Progressive().searcher(SPACE, hyperparameters={"lr": tune.uniform(0, 1)}, costs={})
    with pytest.raises(ValueError, match="Progressive learns from one objective"):
        Progressive().searcher(SPACE, ["accuracy", "params"], costs={})
    for name in ("budget", "beam_size", "n_first"):
        wrong: dict[str, Any] = {name: 0}
        with pytest.raises(ValueError, match=f"Progressive needs {name} >= 1, got 0"):
            Progressive(**wrong)
