from collections.abc import Mapping

import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Integer, Real
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.testing import SpaceContract
from tests.core.decided import CHAIN, DEPTH, KIND, LR, MOMENTUM, Decided


class TestConditional(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return Decided(*CHAIN)


class TestWithNumbers(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return Decided(KIND, LR, MOMENTUM)


class Breaking(Decided):
    """Cannot be built with three layers of kind conv, nor run with kernel 5."""

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        options = self.canonical(arch)
        return nn.Linear(3 if options.get("kernel") == 5 else 2, 1)


class TestCheck:
    def test_names_the_options_that_only_broken_members_have(self) -> None:
        with pytest.raises(SpaceError, match=r"Breaking: .* only these have: kernel=5; first: ") as error:
            Breaking(*CHAIN[:3]).check()
        assert error.value.__cause__ is not None

    def test_runs_on_meta(self) -> None:
        devices = []

        class Watched(Decided):
            def build(self, arch: Mapping[str, Option]) -> nn.Module:
                devices.append(torch.empty(0).device.type)
                return super().build(arch)

        Watched(*CHAIN).check(n_samples=0)
        assert set(devices) == {"meta"}


def test_fingerprint_tells_spaces_apart() -> None:
    assert Decided(*CHAIN).fingerprint == Decided(*CHAIN).fingerprint
    others = [CHAIN[:5], [KIND, DEPTH], [DEPTH, KIND], [Integer("depth", 1, 4), KIND], [LR], [Real("lr", low=1e-4)]]
    assert len({Decided(*decisions).fingerprint for decisions in [CHAIN, *others]}) == len(others) + 1


def test_a_point_is_read_from_an_architecture_or_a_config() -> None:
    space, arch = Decided(*CHAIN), Architecture({"depth": 1, "kind": "none"})
    assert space.point(arch) == space.point(dict(arch)) == space.point({"arch": dict(arch), "lr": 1}) == arch
    assert space.point({**arch, "kernel": 3}) == arch, "canonical"


def test_without_hyperparameters_points_are_architectures() -> None:
    space, arch = Decided(*CHAIN), Architecture({"depth": 1, "kind": "none"})
    assert space.architecture_space is space and space.architecture(arch) is arch
