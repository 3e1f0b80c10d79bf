"""The gradient from rewards, against its formula."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from raynas.nn import Mixture
from raynas.oneshot.differentiable import Darts, ExpectedCost, Proxyless, Reinforce
from tests.oneshot.differentiable.searches import QUIET, run_epoch, start
from tests.oneshot.spaces import only_operations

METHOD = Proxyless(reinforce=Reinforce(n_samples=4), watch=QUIET, warmup=0.0)


def test_the_gradient_is_that_of_the_formula() -> None:
    """For a softmax d log p(k) / d alpha = onehot(k) - p; the baseline is 0.01 of the old one and 0.99 of the mean."""
    learner = start(METHOD, only_operations())
    learner.reinforcement.baseline = 0.2
    rewards, drawn = iter([1.0, 0.0, 0.5, 0.5]), []

    def accuracy(weights: Mapping[str, Mixture]) -> float:
        drawn.append({name: mixture.weights.clone() for name, mixture in weights.items()})
        return next(rewards)

    learner.reinforcement.backward(accuracy, 0.5)
    baseline = 0.2 + 0.99 * (0.5 - 0.2)
    assert learner.reinforcement.baseline == pytest.approx(baseline)
    for name, alpha in learner.alphas.values.items():
        p, chosen = alpha.detach().softmax(0), [weights[name] for weights in drawn]
        terms = [(baseline - r) * (w - p) / 4 for r, w in zip((1.0, 0.0, 0.5, 0.5), chosen, strict=True)]
        assert alpha.grad is not None
        torch.testing.assert_close(alpha.grad, torch.stack(terms).sum(0))


def test_costs_discount_the_reward() -> None:
    """A network that costs half the target has its accuracy times 2 to the power of the weight."""
    cost = ExpectedCost(metric=lambda arch: 1.0, target=2.0, weight=0.5)
    learner = start(replace(METHOD, costs=(cost,)), only_operations())
    learner.reinforcement.backward(lambda weights: 0.8, 0.5)
    assert learner.reinforcement.baseline == pytest.approx(0.8 * 2**0.5, rel=1e-3)


def test_a_search_learns_by_it_and_continues() -> None:
    learner = start(METHOD, only_operations())
    before = [alpha.detach().clone() for alpha in learner.alphas.parameters()]
    run_epoch(learner)
    assert any(not torch.equal(a, b) for a, b in zip(before, learner.alphas.parameters(), strict=True))
    again = start(METHOD, only_operations())
    again.load_state_dict(learner.state_dict())
    assert again.reinforcement.baseline == learner.reinforcement.baseline is not None


def test_settings_are_checked() -> None:
    assert (Reinforce().n_samples, Reinforce().decay) == (10, 0.99)
    with pytest.raises(ValueError, match="n_samples >= 1"):
        Reinforce(n_samples=0)
    with pytest.raises(ValueError, match="a relaxation that draws"):
        Darts(reinforce=Reinforce())
