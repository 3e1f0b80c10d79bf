from typing import Any

import pytest
import torch

from raynas.core.evaluation import Evaluation
from raynas.strategies import PPO, Reinforce
from raynas.strategies.reinforcement.policy_gradient import PolicyGradientSearcher
from raynas.strategies.reinforcement.ppo import PPOSearcher, clipped_surrogate
from raynas.strategies.reinforcement.reinforce import ReinforceSearcher
from raynas.testing import run_trials
from tests.strategies.reinforcement.small import SPACE


def made(**settings: Any) -> PPOSearcher:
    return PPOSearcher(SPACE, settings=PPO(**settings))


def weights(searcher: PolicyGradientSearcher) -> list[torch.Tensor]:
    return [p.detach().clone() for p in searcher.controller.parameters()]


def one_batch(searcher: PolicyGradientSearcher) -> None:
    for reward in (0.9, 0.1, 0.3, 0.5):
        searcher.observe(Evaluation(searcher.propose(), {"accuracy": reward}))


def test_golden_trajectory() -> None:
    configs = run_trials(PPO(batch_size=3).searcher(SPACE, costs={}, seed=0), SPACE.result, 9)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "0 2",
        "0 1",
        "2 2 linear",
        "1 0",
        "2 2 cosine",
        "2 1 linear",
        "2 1 cosine",
        "2 0 linear",
        "1 2",
    ]


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.1, 2.0, 2.2, 2.2),
        (1.5, 2.0, 2.4, 0.0),  # already likely enough
        (0.5, 2.0, 1.0, 1.0),  # a step back is undone
        (0.5, -2.0, -1.6, 0.0),  # already unlikely enough
        (1.5, -2.0, -3.0, -3.0),
    ],
)
def test_the_surrogate_is_equation_7(ratio: float, advantage: float, gain: float, slope: float) -> None:
    """The six cases of figure 1, epsilon = 0.2; the slope is by log-probability."""
    log_probs = torch.tensor([[ratio]]).log().requires_grad_()
    value = clipped_surrogate(log_probs, torch.zeros(1, 1), torch.tensor([advantage]), clip=0.2)
    assert value.item() == pytest.approx(gain)
    (gradient,) = torch.autograd.grad(value, log_probs)
    assert gradient.item() == pytest.approx(slope)


def test_each_decision_is_clipped_for_itself_and_the_mean_is_over_architectures() -> None:
    log_probs = torch.tensor([[1.5, 1.0], [1.0, 1.0]]).log()
    value = clipped_surrogate(log_probs, torch.zeros(2, 2), torch.tensor([1.0, 3.0]), clip=0.2)
    assert value.item() == pytest.approx(((1.2 + 1.0) + (3.0 + 3.0)) / 2)


def test_the_first_step_of_a_batch_is_reinforce() -> None:
    ppo, reinforce = made(batch_size=4, n_epochs=1), ReinforceSearcher(SPACE, settings=Reinforce(batch_size=4))
    for first, second in zip(weights(ppo), weights(reinforce), strict=True):
        assert torch.equal(first, second)
    start = weights(ppo)
    one_batch(ppo)
    one_batch(reinforce)
    for first, second in zip(weights(ppo), weights(reinforce), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)
    assert any(not torch.equal(first, second) for first, second in zip(weights(ppo), start, strict=True))


def test_each_batch_is_used_several_times() -> None:
    searcher = made(batch_size=4, n_epochs=3)
    n_steps = 0
    step = searcher.step

    def counted(loss: torch.Tensor) -> None:
        nonlocal n_steps
        n_steps += 1
        step(loss)

    searcher.step = counted  # type: ignore[method-assign]
    one_batch(searcher)
    assert n_steps == 3


def test_clipping_holds_the_policy_near_the_old_one() -> None:
    """With many steps on one batch an unclipped policy runs away, a clipped one stops about 20 % further."""
    moved = []
    for clip in (0.2, 1e9):
        searcher = made(batch_size=4, n_epochs=40, clip=clip, entropy_weight=0.0, learning_rate=0.01)
        archs = [arch for arch in SPACE.enumerate()][:4]
        with torch.no_grad():
            old = searcher.controller.evaluate_many(archs)[0]
        searcher.learn(archs, old, torch.tensor([1.0, -1.0, 1.0, -1.0]))
        with torch.no_grad():
            moved.append((searcher.controller.evaluate_many(archs)[0] - old).exp().max().item())
    assert moved[0] < 1.6 < 2.5 < moved[1]


def test_ratios_are_to_the_policy_that_drew() -> None:
    """With several trials at a time a reward may come when the controller has moved on."""
    searcher = made(batch_size=2, n_epochs=1, learning_rate=0.1)
    late = searcher.propose()
    drawn_with = searcher._drawn[late]
    seen: list[torch.Tensor] = []
    learn = searcher.learn

    def watched(archs: Any, old_log_probs: torch.Tensor, advantages: torch.Tensor) -> None:
        seen.append(old_log_probs)
        learn(archs, old_log_probs, advantages)

    searcher.learn = watched  # type: ignore[method-assign]
    while len(seen) < 1:
        arch = next(a for a in iter(searcher.propose, None) if a != late)
        searcher.observe(Evaluation(arch, {"accuracy": 0.1 * len(searcher._seen)}))
    searcher._drawn[late] = drawn_with
    searcher._batch = []
    searcher.observe(Evaluation(late, {"accuracy": 0.9}))
    other = next(a for a in iter(searcher.propose, None) if a != late)
    searcher.observe(Evaluation(other, {"accuracy": 0.2}))
    assert torch.equal(seen[1][0], drawn_with)
    with torch.no_grad():
        assert not torch.allclose(searcher.controller.evaluate_many([late])[0][0], drawn_with, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 0.0}, "clip > 0 and n_epochs >= 1, got 0.0 and 5"),
        ({"n_epochs": 0}, "got 0.2 and 0"),
        ({"batch_size": 1}, "PPO needs batch_size >= 2"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPO(**settings)
