"""The contract passes a correct space (in ``tests/core/test_space.py``) and notices mistakes: some are here."""

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.testing import ToySpace
from raynas.testing.decision_contract import DecisionContract, sampled


class Careless(ToySpace):
    def sample(self, rng: np.random.Generator) -> Architecture:
        return Architecture({**super().sample(rng), "head": "linear"})


class Fixed(ToySpace):
    def sample(self, rng: np.random.Generator) -> Architecture:
        return super().sample(np.random.default_rng(0))


class Idle(ToySpace):
    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        return arch


def test_samples_with_inactive_decisions() -> None:
    space = Careless(n_layers=2)
    with pytest.raises(AssertionError):
        DecisionContract().test_samples_are_canonical(space, sampled(space, seed=0))


def test_samples_that_ignore_the_seed() -> None:
    space = Fixed()
    with pytest.raises(AssertionError):
        DecisionContract().test_samples_follow_the_seed(space, sampled(space, seed=0))


def test_mutations_that_change_nothing() -> None:
    space = Idle()
    with pytest.raises(AssertionError):
        DecisionContract().test_mutate_changes_one_decision(space, sampled(space, seed=0))
