"""Fitting a space to a data set."""

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.data import fit_space as fit_space_module
from raynas.data.fit_space import check_network, fields_of, fit_space, resized_to, scaled
from raynas.data.image_sets import load_images
from raynas.errors import SpaceError, UnknownNameError
from tests.trials.spaces import Fixed, TinyCnn

DIGITS = load_images("digits")


def test_input_shape_and_classes_follow_the_data() -> None:
    assert fit_space(TinyCnn(input_shape=(3, 32, 32), n_classes=2), DIGITS) == TinyCnn()
    fixed = Fixed()
    assert fit_space(fixed, DIGITS) is fixed
    with pytest.raises(SpaceError, match="make the space with that input_shape"):
        fit_space(Fixed(size=9), DIGITS)


def test_only_dataclasses_can_be_changed() -> None:
    assert fields_of(TinyCnn()) == ["input_shape", "n_classes", "channels"] and fields_of(Fixed()) == []
    assert resized_to(TinyCnn(), [1, 4, 4]).input_shape == (1, 4, 4)
    assert resized_to(Fixed(), (1, 4, 4)).input_shape == (1, 8, 8)


def test_a_size_must_be_a_field() -> None:
    assert scaled(TinyCnn(), {"channels": 2}) == TinyCnn(channels=2)
    with pytest.raises(UnknownNameError, match="unknown size of TinyCnn 'chanels'"):
        scaled(TinyCnn(), {"chanels": 2})


def test_a_network_is_tried_without_changing_what_is_random() -> None:
    before = torch.get_rng_state()
    check_network(TinyCnn(), DIGITS)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(SpaceError, match="make the space, or its model, for 10 classes"):
        check_network(TinyCnn(n_classes=3), DIGITS)


class Choosy(TinyCnn):
    """Only some of its networks can be made."""

    def build(self, arch: Architecture) -> torch.nn.Module:
        if arch["kernel"] == 3:
            raise RuntimeError("never")
        return super().build(arch)


def test_one_of_a_few_networks_must_run() -> None:
    check_network(Choosy(), DIGITS, n_tries=20)
    with pytest.raises(SpaceError, match="no network of Fixed that was tried runs on images of shape"):
        check_network(Fixed(size=9), DIGITS)


def test_large_images_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(TinyCnn):
        def build(self, arch: Architecture) -> torch.nn.Module:
            seen.append(torch.empty(0).device.type)
            return super().build(arch)

    check_network(Watched(), DIGITS)
    monkeypatch.setattr(fit_space_module, "MAX_COMPUTED", 63)
    check_network(Watched(), DIGITS)
    assert seen == ["cpu", "meta"]
