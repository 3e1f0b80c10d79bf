"""The contract passes the catalogue (in ``tests/search_spaces``) and notices mistakes, some of which are here."""

import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.testing import SpaceContract, ToySpace
from raynas.testing.decision_contract import sampled


class Anything(ToySpace):
    """Builds a network of architectures that are no members."""

    def build(self, arch: Architecture) -> nn.Module:
        return nn.Linear(1, 1)


class Infinite(ToySpace):
    def build(self, arch: Architecture) -> nn.Module:
        self.canonical(arch)
        layer = nn.Linear(1, 1)
        torch.nn.init.constant_(layer.weight, float("inf") if arch["layers.0"] == 3 else 1.0)
        torch.nn.init.constant_(layer.bias, float("inf") if arch["layers.0"] == 3 else 1.0)
        return layer


def test_a_network_of_what_is_no_member() -> None:
    space = Anything()
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        SpaceContract().test_build_takes_members_only(space, sampled(space, seed=0))


def test_an_option_whose_output_is_not_finite() -> None:
    with pytest.raises(AssertionError):
        SpaceContract().test_every_option_builds_and_runs(Infinite())


def test_a_space_without_supernet_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="ToySpace has no supernet"):
        SpaceContract().test_supernet_holds_every_subnet(ToySpace())
