import pytest
import torch
from torch import Tensor, nn

from raynas.errors import SpaceError
from raynas.nn import (
    Choice,
    InputChoice,
    ModelSpace,
    Repeat,
    Supernet,
)
from tests.nn.everything import Everything


@pytest.fixture(scope="module")
def space() -> ModelSpace:
    return ModelSpace(Everything, input_shape=(3, 8, 8))


class TestForward:
    def test_named_arguments_reach_the_candidate(self) -> None:
        supernet = Supernet(ModelSpace(Named, input_shape=(3,)))
        x = torch.randn(2, 3)
        for option in ("first", "second"):
            out = supernet(x, {"op": option})
            torch.testing.assert_close(out, supernet.extract({"op": option})(x))
        both = supernet(x, {"op": torch.tensor([0.5, 2.0])})
        torch.testing.assert_close(both, 0.5 * supernet(x, {"op": "first"}) + 2 * supernet(x, {"op": "second"}))

    def test_each_block_of_a_repeat_takes_named_arguments(self) -> None:
        supernet = Supernet(ModelSpace(lambda: Named(Repeat(lambda i: Scaled(), 1, 2)), input_shape=(3,)))
        x, option = torch.randn(2, 3), {"op": 2}
        torch.testing.assert_close(supernet(x, option), supernet.extract(option)(x))

    def test_an_input_choice_takes_no_named_arguments(self) -> None:
        supernet = Supernet(ModelSpace(lambda: Named(InputChoice(1)), input_shape=(3,)))
        with pytest.raises(TypeError, match="'op' takes no named arguments, got scale"):
            supernet(torch.randn(2, 3), {"op": "0"})


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        out: Tensor = self.linear(x) * scale
        return out


class Named(nn.Module):
    """A choice that is called with a named argument."""

    def __init__(self, op: nn.Module | None = None) -> None:
        super().__init__()
        self.op = op or Choice({"first": Scaled, "second": lambda: Scaled()})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x, scale=3.0)
        return out


class TestPartialChannels:
    def space(self) -> ModelSpace:
        def operations(channels: int) -> dict[str, nn.Module]:
            return {"conv": lambda: nn.Conv2d(channels, channels, 1), "skip": nn.Identity}  # type: ignore[dict-item]

        def model() -> nn.Module:
            return nn.Sequential(Choice(operations(8), narrow=lambda k: operations(8 // k)))

        return ModelSpace(model, input_shape=(8, 4, 4))

    def test_only_a_share_of_the_channels_is_computed(self) -> None:
        supernet = Supernet(self.space(), partial_channels=4)
        assert supernet.expanded_choices[0].branch("conv").weight.shape == (2, 2, 1, 1)
        x = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 4, 4)
        out = supernet(x, {"0": torch.tensor([0.0, 10.0])})
        # Channels 0 and 1 went through; in the output every fourth channel is one of them.
        assert out[0, :, 0, 0].tolist() == [0, 2, 4, 6, 10, 3, 5, 7]

    def test_its_subnets_are_not_those_of_the_space(self) -> None:
        with pytest.raises(SpaceError, match="partial channels"):
            Supernet(self.space(), partial_channels=2).extract({"0": "skip"})

    def test_needs_choices_that_can_be_narrow(self, space: ModelSpace) -> None:
        with pytest.raises(SpaceError, match="how to be narrow"):
            Supernet(space, partial_channels=2)
