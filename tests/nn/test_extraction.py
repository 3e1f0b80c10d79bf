import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.errors import SpaceError
from raynas.nn import (
    Choice,
    ModelSpace,
    Size,
    Supernet,
)
from tests.nn.everything import Everything, images, supernet_with_statistics


@pytest.fixture(scope="module")
def space() -> ModelSpace:
    return ModelSpace(Everything, input_shape=(3, 8, 8))


@pytest.fixture
def supernet(space: ModelSpace) -> Supernet:
    return supernet_with_statistics(space)


class TestExtract:
    def test_a_candidate_keeps_its_own_mode(self, supernet: Supernet) -> None:
        supernet.train()
        next(place for place in supernet.expanded_choices if place.name == "block").branch("half").eval()
        arch = {**next(supernet.space.showcase(1)), "block": "half"}
        block = supernet.extract(arch).get_submodule("block")
        assert isinstance(block, nn.Tanh) and not block.training

    def test_weights_are_copies_or_shared_as_asked(self, supernet: Supernet, space: ModelSpace) -> None:
        arch = next(space.showcase(1))
        own = {tensor.untyped_storage().data_ptr() for tensor in supernet.state_dict().values()}
        copied, shared = supernet.extract(arch), supernet.extract(arch, copy_weights=False)
        assert not own & {p.untyped_storage().data_ptr() for p in copied.parameters()}
        assert {"stem.weight"} <= {n for n, p in shared.named_parameters() if p.untyped_storage().data_ptr() in own}
        with torch.no_grad():
            torch.testing.assert_close(shared(images()), copied(images()))

    def test_holds_no_part_that_was_not_chosen(self, supernet: Supernet) -> None:
        arch = next(supernet.space.showcase(1))
        assert {type(m).__module__.partition(".")[0] for m in supernet.extract(arch).modules()} & {"raynas"} <= {
            "raynas"
        }
        assert not any(isinstance(m, Choice | Size) for m in supernet.extract(arch).modules())

    def test_references_between_modules_stay_right(self, supernet: Supernet) -> None:
        subnet = supernet.extract(next(supernet.space.showcase(1)))
        assert isinstance(subnet, Everything) and subnet.aliases[0] is subnet.stem

    def test_takes_members_only(self, supernet: Supernet) -> None:
        with pytest.raises(SpaceError, match="lacks decision"):
            supernet.extract(Architecture({}))

    def test_keeps_frozen_parameters_frozen(self, supernet: Supernet, space: ModelSpace) -> None:
        supernet.requires_grad_(False)
        assert not any(p.requires_grad for p in supernet.extract(next(space.showcase(1))).parameters())
