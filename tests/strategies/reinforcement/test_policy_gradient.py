from dataclasses import replace
from typing import Any

import pytest
import torch

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies import PPO, Reinforce
from raynas.strategies.reinforcement.policy_gradient import Baseline, PolicyGradient, PolicyGradientSearcher
from raynas.testing import run_trials
from tests.strategies.reinforcement.small import SPACE, made, probs, rewarded


def test_the_baseline_is_a_moving_average_that_excludes_the_batch() -> None:
    baseline = Baseline(decay=0.9)
    assert baseline.advantages([1.0, 3.0]) == [-1.0, 1.0]  # the first has nothing before it
    baseline.update([1.0, 3.0])
    assert (baseline.mean, baseline.variance) == (2.0, 1.0)
    assert baseline.advantages([5.0]) == [3.0]
    baseline.update([5.0, 2.0])
    assert baseline.mean == pytest.approx(0.9 * (0.9 * 2 + 0.1 * 5) + 0.1 * 2)
    assert baseline.variance == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 9) + 0.1 * (2 - 2.3) ** 2)
    assert Baseline(0.9).advantages([0.5, 0.5]) == [0.0, 0.0]


def test_it_learns_from_its_own_proposals_only() -> None:
    """What another search found moves the baseline, not the controller."""
    searcher = made(batch_size=2)
    before = probs(searcher)
    for arch in list(SPACE.enumerate())[:6]:
        searcher.observe(Evaluation(arch, {"accuracy": 0.7}))
    assert probs(searcher) == before
    assert searcher.baseline.mean == pytest.approx(0.7)
    rewarded(searcher, [0.1, 0.9])
    assert probs(searcher) != before


def test_failures_and_violations_get_the_lowest_reward() -> None:
    searcher = made(Goal.parse("accuracy", "params <= 10"), batch_size=99)
    for metrics, ok in (({"accuracy": 0.9}, False), ({"accuracy": 0.4}, True), ({"accuracy": 0.6}, True)):
        arch = searcher.propose()
        searcher.observe(Evaluation(arch, metrics, status="finished" if ok else "failed"))
    searcher.observe(Evaluation(searcher.propose(), {"accuracy": 0.9, "params": 11}))
    searcher.observe(Evaluation(searcher.propose(), {}, status="failed"))
    assert [reward for _, _, reward in searcher._batch] == [0.4, 0.6, 0.4, 0.4]


def test_a_soft_constraint_enters_the_reward() -> None:
    searcher = made(Goal.parse("accuracy", "params <= 10 soft"), batch_size=99)
    searcher.observe(Evaluation(searcher.propose(), {"accuracy": 0.5, "params": 20}))
    assert searcher._batch[0][2] == pytest.approx(0.5 * 2**-0.07)


def test_a_controller_that_repeats_itself_is_helped_on() -> None:
    searcher = made(learning_rate=1e-9)
    with torch.no_grad():
        for output in searcher.controller.outputs:
            assert isinstance(output, torch.nn.Linear)
            output.weight.zero_()
            output.weight[0] = 1e3
    configs = run_trials(searcher, SPACE.result, 12)
    assert len({SPACE.from_config(config) for config in configs}) == 12


@pytest.mark.parametrize(
    ("strategy", "n_trials", "rate"),
    [
        (Reinforce(), 12_800, 0.0006),
        (Reinforce(), 640, 0.012),
        (Reinforce(), 10**6, 0.0006),
        (Reinforce(), 50, 0.04),
        (PPO(), 20_000, 0.00035),
        (PPO(), 1000, 0.007),
        (PPO(), 100, 0.008),
        (PPO(n_epochs=2), 100, 0.02),
    ],
)
def test_the_learning_rate_follows_the_number_of_trials(strategy: PolicyGradient, n_trials: int, rate: float) -> None:
    """That of the papers for as many as they have; the product of rate and trials is kept for fewer."""
    searcher = strategy.tune_config(SPACE, num_samples=n_trials).search_alg
    assert isinstance(searcher, PolicyGradientSearcher)
    assert searcher.adam.param_groups[0]["lr"] == pytest.approx(rate)
    given = replace(strategy, learning_rate=0.5)
    assert given.for_budget(n_trials) is given


def test_an_unknown_number_of_trials_counts_as_a_hundred() -> None:
    assert made().adam.param_groups[0]["lr"] == Reinforce().rate_for(100)


def test_the_controller_is_the_papers() -> None:
    """Section 4.1 of Zoph and Le: 35 units, uniform weights within 0.08, batches of 8, decay of the baseline 0.95."""
    settings, searcher = Reinforce(), made()
    assert (settings.hidden_size, settings.batch_size, settings.baseline_decay) == (35, 8, 0.95)
    weights = torch.cat([p.detach().flatten() for p in searcher.controller.parameters()]).abs()
    assert 0.079 < weights.max() <= 0.08 and weights.mean().item() == pytest.approx(0.04, abs=0.001)


@pytest.mark.parametrize("strategy", [Reinforce(), PPO()], ids=["reinforce", "ppo"])
def test_several_objectives_are_refused_with_the_way_out(strategy: PolicyGradient) -> None:
    with pytest.raises(ValueError, match="learns from one objective; make the others soft constraints, or use NSGA2"):
        strategy.searcher(SPACE, ["accuracy", "params"], costs={})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, "batch_size >= 2 and hidden_size >= 1, got 1 and 35"),
        ({"hidden_size": 0}, "got 8 and 0"),
        ({"learning_rate": 0.0}, "learning_rate > 0"),
        ({"baseline_decay": 1.0}, r"baseline_decay in \[0, 1\)"),
        ({"entropy_weight": float("nan")}, "entropy_weight >= 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reinforce(**settings)
