from collections import Counter
from typing import Any

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.search_spaces import DARTS, MLP, Hierarchical
from raynas.strategies import QLearning
from raynas.strategies.reinforcement.q_learning import QLearningSearcher, State
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=3)


def made(**settings: Any) -> QLearningSearcher:
    return QLearningSearcher(SPACE, settings=QLearning(**settings))


def arch(digits: str, **more: str) -> Architecture:
    return Architecture({**{f"layers.{i}": int(digit) for i, digit in enumerate(digits)}, **more})


def test_golden_trajectory() -> None:
    configs = run_trials(QLearning(budget=10).searcher(SPACE, costs={}, seed=0), SPACE.result, 14)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "2 1 1 linear",
        "0 0 0",
        "1 2 1",
        "2 0 0 cosine",
        "0 1 2",
        "0 0 1",
        "1 2 2",
        "0 2 2",
        "1 0 2",
        "1 2 0",
        "1 0 1",
        "1 0 0",
        "2 0 0 linear",
        "1 1 2",
    ]


def test_the_schedule_is_the_papers() -> None:
    """Table 2 of the paper: epsilon, and the number of models trained with it."""
    settings = QLearning(budget=2700)
    expected = {1.0: 1500, 0.9: 100, 0.8: 100, 0.7: 100, 0.6: 150, 0.5: 150, 0.4: 150, 0.3: 150, 0.2: 150, 0.1: 150}
    assert Counter(settings.epsilon(n) for n in range(2700)) == expected
    assert settings.epsilon(2700) == settings.epsilon(10**6) == 0.1
    scaled = Counter(QLearning(budget=270).epsilon(n) for n in range(270))
    assert scaled == {epsilon: n // 10 for epsilon, n in expected.items()}
    epsilons = [QLearning(budget=50).epsilon(n) for n in range(60)]
    assert epsilons == sorted(epsilons, reverse=True) and epsilons[0] == 1 and epsilons[-1] == 0.1


def test_the_schedule_follows_the_number_of_trials() -> None:
    given = QLearning()
    assert given.for_budget(270) == QLearning(budget=270) and QLearning(budget=7).for_budget(270).budget == 7
    assert [given.epsilon(n) for n in range(120)] == [QLearning(budget=100).epsilon(n) for n in range(120)]
    searcher = QLearning().tune_config(SPACE, num_samples=27).search_alg
    assert isinstance(searcher, QLearningSearcher) and searcher.settings.budget == 27
    assert Counter(searcher.settings.epsilon(n) for n in range(27))[1.0] == 15


def test_the_numbers_are_the_papers() -> None:
    """Section 4.2 and algorithm 1; the value of options that were never tried is that of the authors' program."""
    settings = QLearning()
    assert (settings.learning_rate, settings.discount, settings.n_replays) == (0.01, 1.0, 100)
    assert settings.first_value == 0.5


def test_a_walk_is_states_of_a_decision_the_option_before_and_what_is_ruled_out() -> None:
    """The head is taken only after layers.0 = 2."""
    steps = made().steps(arch("210", head="cosine"))
    assert steps == [
        (("layers.0", None, ()), 2, ("layers.1", 2, ())),
        (("layers.1", 2, ()), 1, ("layers.2", 1, ())),
        (("layers.2", 1, ()), 0, ("head", 0, ())),
        (("head", 0, ()), 1, None),
    ]
    assert made().steps(arch("010"))[-2:] == [
        (("layers.1", 0, ("head",)), 1, ("layers.2", 1, ("head",))),
        (("layers.2", 1, ("head",)), 0, None),
    ]


@pytest.mark.parametrize("space", [SPACE, MLP(max_layers=3), DARTS(), Hierarchical()], ids=lambda space: space.name)
def test_states_are_markov(space: SearchSpace) -> None:
    """A state and an option determine the next state, and the walk by them is the architecture."""
    searcher = QLearningSearcher(space)
    rng = np.random.default_rng(0)
    following: dict[tuple[State, int], State | None] = {}
    options = {decision.name: decision.options for decision in space.decisions}
    for _ in range(300):
        arch = space.sample(rng)
        steps = searcher.steps(arch)
        assert {state[0]: options[state[0]][i] for state, i, _ in steps} == dict(arch)
        for state, i, after in steps:
            assert following.setdefault((state, i), after) == after


def test_one_update_is_bellmans_equation_from_the_end() -> None:
    """By hand, alpha = 0.5, gamma = 0.9, all values 0.5 at first, twice the same walk: the only one to be replayed."""
    searcher = made(learning_rate=0.5, discount=0.9, n_replays=2)
    searcher.reward.lowest, searcher._highest = 0.0, 1.0
    searcher.observe(Evaluation(arch("010"), {"accuracy": 1.0}))
    last_1, last_2 = 0.75, 0.875
    middle_1 = 0.5 + 0.5 * (0.9 * last_1 - 0.5)
    middle_2 = middle_1 + 0.5 * (0.9 * last_2 - middle_1)
    assert searcher.values["layers.2", 1, ("head",)] == [last_2, 0.5, 0.5]
    assert searcher.values["layers.1", 0, ("head",)] == [0.5, pytest.approx(middle_2), 0.5]
    first_1 = 0.5 + 0.5 * (0.9 * middle_1 - 0.5)
    assert searcher.values["layers.0", None, ()][0] == pytest.approx(first_1 + 0.5 * (0.9 * middle_2 - first_1))


def test_the_greedy_walk_finds_the_best() -> None:
    searcher = made(learning_rate=0.03, n_replays=300)
    archs = list(SPACE.enumerate())
    for i in np.random.default_rng(0).permutation(len(archs)):  # an order that says nothing of the values
        searcher.observe(Evaluation(archs[i], {"accuracy": SPACE.accuracy(archs[i])}))
    assert SPACE.accuracy(searcher._walk(0.0)) == 1
    first = searcher.values["layers.0", None, ()]
    assert first[0] < first[1] < first[2]


@pytest.mark.parametrize("epsilon", [1.0, 0.3, 0.0])
def test_steps_are_random_as_often_as_epsilon_says(epsilon: float) -> None:
    searcher = made()
    searcher.values[("layers.0", None, ())] = [0.1, 0.9, 0.2]
    first = Counter(searcher._walk(epsilon)["layers.0"] for _ in range(3000))
    assert first[1] / 3000 == pytest.approx(1 - epsilon + epsilon / 3, abs=0.03)
    assert first[0] / 3000 == pytest.approx(epsilon / 3, abs=0.03)


def test_ties_are_broken_at_random() -> None:
    searcher = made()
    searcher.values[("layers.0", None, ())] = [0.9, 0.1, 0.9]
    first = Counter(searcher._walk(0.0)["layers.0"] for _ in range(1000))
    assert set(first) == {0, 2} and 400 < first[0] < 600


def test_the_unit_of_the_objective_does_not_matter() -> None:
    def result(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": -1000 * SPACE.accuracy(config["arch"]), "training_iteration": 1}

    configs = run_trials(QLearning(budget=10).searcher(SPACE, "loss", costs={}), result, 20)
    assert configs == run_trials(QLearning(budget=10).searcher(SPACE, costs={}), SPACE.result, 20)


def test_each_architecture_is_remembered_once_and_failures_as_the_worst() -> None:
    searcher = made()
    searcher.observe(Evaluation(arch("000"), {}, status="failed"))
    for accuracy in (0.3, 0.3, 0.6):
        searcher.observe(Evaluation(arch(f"0{int(10 * accuracy) // 3}1"), {"accuracy": accuracy}))
    searcher.observe(Evaluation(arch("002"), {"accuracy": 0.9}, status="failed"))
    assert [reward for _, reward in searcher.memory] == [0.3, 0.6, 0.3]


def test_a_greedy_walk_that_repeats_itself_is_helped_on() -> None:
    searcher = made(budget=1)
    configs = run_trials(searcher, SPACE.result, int(SPACE.size))
    assert len({SPACE.from_config(config) for config in configs}) == SPACE.size


def test_refusals() -> None:
    with pytest.raises(SpaceError, match="continuous decisions such as 'lr'"):
        QLearning().searcher(SPACE, hyperparameters={"lr": tune.uniform(0, 1)}, costs={})
    with pytest.raises(ValueError, match="QLearning learns from one objective"):
        QLearning().searcher(SPACE, ["accuracy", "params"], costs={})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, "budget >= 1 and n_replays >= 1, got 0 and 100"),
        ({"n_replays": 0}, "got None and 0"),
        ({"learning_rate": 0.0}, r"learning_rate in \(0, 1\], got 0.0"),
        ({"discount": 1.1}, r"discount in \(0, 1\], got 1.1"),
        ({"first_value": -1.0}, r"first_value in \[0, 1\], got -1.0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QLearning(**settings)
