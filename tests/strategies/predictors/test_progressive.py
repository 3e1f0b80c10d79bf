from typing import Any

import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.errors import SpaceError
from raynas.strategies import Progressive
from raynas.strategies.predictors.progressive import ProgressiveSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=3)


def made(space: ToySpace = SPACE, **settings: Any) -> ProgressiveSearcher:
    return ProgressiveSearcher(space, settings=Progressive(**settings))


def run(n: int, space: ToySpace = SPACE, **settings: Any) -> tuple[ProgressiveSearcher, list[Architecture]]:
    searcher = made(space, **settings)
    return searcher, [space.from_config(config) for config in run_trials(searcher, space.result, n)]


def test_golden_trajectory() -> None:
    configs = run_trials(Progressive(beam_size=2, n_first=4).searcher(SPACE, costs={}, seed=0), SPACE.result, 12)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "0 0 0 0",
        "0 1 0 0",
        "0 0 1 0",
        "0 2 0 0",
        "0 0 0 1",
        "0 2 1 0",
        "0 2 0 1",
        "0 2 1 1",
        "0 2 2 1",  # predicted equal to "0 2 1 2"
        "1 2 2 1",
        "2 2 2 1 linear",
        "2 2 2 1 cosine",
    ]


def test_size_counts_what_is_not_the_first_option() -> None:
    searcher = made()
    simple = {f"layers.{i}": 0 for i in range(4)}
    assert searcher.size(Architecture(simple)) == 0
    assert searcher.size(Architecture({**simple, "layers.1": 2})) == 1
    assert searcher.size(Architecture({**simple, "layers.0": 2, "head": "linear"})) == 1
    assert searcher.size(Architecture({**simple, "layers.0": 2, "head": "cosine", "layers.3": 1})) == 3


def test_each_size_has_its_beam_and_they_grow() -> None:
    """The simplest, all of size 1 (4 decisions with 2 other options), then 3 of each size up to 5."""
    searcher, archs = run(1 + 8 + 4 * 3, beam_size=3)
    assert [searcher.size(arch) for arch in archs] == [0, *[1] * 8, *[2] * 3, *[3] * 3, *[4] * 3, *[5] * 3]


def test_what_grows_are_the_best_of_the_size_before() -> None:
    searcher, archs = run(1 + 8 + 3 * 2, beam_size=2)
    for size in (2, 3):
        smaller = [arch for arch in archs if searcher.size(arch) == size - 1]
        beam = sorted(smaller, key=SPACE.accuracy, reverse=True)[:2]
        grown = {near for arch in beam for near in SPACE.neighbours(arch)}
        assert {arch for arch in archs if searcher.size(arch) == size} <= grown


def test_the_predictor_chooses_the_most_promising() -> None:
    """On a sum of decisions it is right: each beam holds the best that can be grown."""
    searcher, archs = run(1 + 8 + 3 * 2, beam_size=2)
    for size in (2, 3):
        chosen = [SPACE.accuracy(arch) for arch in archs if searcher.size(arch) == size]
        smaller = sorted((a for a in archs if searcher.size(a) == size - 1), key=SPACE.accuracy, reverse=True)[:2]
        grown = {near for a in smaller for near in SPACE.neighbours(a) if searcher.size(near) == size}
        accuracies = sorted(map(SPACE.accuracy, grown), reverse=True)
        assert min(chosen) >= accuracies[2] and len(accuracies) > 6


def test_predictions_extrapolate_to_larger_sizes() -> None:
    searcher, _ = run(9)
    low, high = (Architecture({f"layers.{i}": n for i in range(4)}) for n in (0, 1))
    best = Architecture({**{f"layers.{i}": 2 for i in range(4)}, "head": "linear"})
    predicted = searcher.predict([low, high, best])
    assert predicted[0] < predicted[1] < predicted[2] > 1  # above all ranks that were seen


def test_it_waits_for_the_last_of_a_size() -> None:
    searcher = made(n_first=2)
    configs = [searcher.suggest(str(i)) for i in range(3)]
    assert searcher.suggest("next") is None
    for i, config in enumerate(configs):
        assert searcher.suggest("next") is None
        searcher.on_trial_complete(str(i), SPACE.result(config))
    assert searcher.size(SPACE.from_config(searcher.suggest("next"))) == 2


def test_the_best_are_refined_when_nothing_larger_is_left() -> None:
    _, archs = run(60, beam_size=2)
    assert len(set(archs)) == 60 and max(map(SPACE.accuracy, archs)) == 1


def test_failures_are_no_part_of_the_beam() -> None:
    searcher = made(n_first=3)
    archs = [searcher.propose() for _ in range(4)]
    for i, arch in enumerate(archs):
        assert arch is not None
        searcher.observe(Evaluation(arch, {"accuracy": 0.5} if i in (0, 1) else {}, status="finished"))
    assert set(searcher.rewards.values()) == {0.5}


def test_refusals() -> None:
    with pytest.raises(SpaceError, match="continuous decisions such as 'lr'"):
        Progressive().searcher(SPACE, hyperparameters={"lr": tune.uniform(0, 1)}, costs={})
    with pytest.raises(ValueError, match="Progressive learns from one objective"):
        Progressive().searcher(SPACE, ["accuracy", "params"], costs={})
    with pytest.raises(ValueError, match="beam_size >= 1 and n_first >= 1, got 0 and 24"):
        Progressive(beam_size=0)
    with pytest.raises(ValueError, match="got 8 and 0"):
        Progressive(n_first=0)
