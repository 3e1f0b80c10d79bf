"""Policy gradients on a space of few members."""

from collections.abc import Mapping
from typing import Any

import torch

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies import Reinforce
from raynas.strategies.reinforcement.policy_gradient import PolicyGradientSearcher
from raynas.strategies.reinforcement.reinforce import ReinforceSearcher
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)


def made(goal: Goal | None = None, **settings: Any) -> ReinforceSearcher:
    return ReinforceSearcher(SPACE, goal, settings=Reinforce(**settings))


def probs(searcher: PolicyGradientSearcher) -> Mapping[Architecture, float]:
    archs = list(SPACE.enumerate())
    with torch.no_grad():
        log_probs = searcher.controller.evaluate_many(archs)[0].sum(dim=1)
    return dict(zip(archs, log_probs.exp().tolist(), strict=True))


def rewarded(searcher: PolicyGradientSearcher, rewards: list[float]) -> list[Architecture]:
    """Answers to the next proposals."""
    archs = []
    for reward in rewards:
        arch = searcher.propose()
        assert arch is not None
        searcher.observe(Evaluation(arch, {"accuracy": reward}))
        archs.append(arch)
    return archs
