from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raynas.core.decision import Integer
from raynas.core.inputs import TensorSpec
from raynas.errors import SpaceError
from raynas.nn import Choice, ModelSpace, Repeat, Supernet
from tests.nn.materialised import materialised


class TestRepeat:
    def test_becomes_so_many_blocks(self) -> None:
        repeat = Repeat(lambda i: nn.Linear(i + 1, i + 2), low=1, high=4)
        module = materialised(repeat, 3)
        assert isinstance(module, nn.Sequential)
        assert [block.in_features for block in module] == [1, 2, 3]
        assert repeat.decision("x", {}) == Integer("x", 1, 4)

    def test_no_block_passes_the_input_through(self) -> None:
        module = materialised(Repeat(lambda i: nn.Linear(1, 1), low=0, high=1), 0)
        assert module(torch.tensor([7.0])).item() == 7

    def test_knows_at_which_depths_a_block_exists(self) -> None:
        repeat = Repeat(lambda i: nn.Identity(), low=2, high=4)
        assert [list(repeat.options_with(str(i))) for i in range(4)] == [[2, 3, 4], [2, 3, 4], [3, 4], [4]]

    @pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2), (0, 0)])
    def test_refuses_impossible_depths(self, low: int, high: int) -> None:
        with pytest.raises(SpaceError, match=f"got {low} and {high}"):
            Repeat(lambda i: nn.Identity(), low, high)

    def test_refuses_a_module_for_its_block(self) -> None:
        with pytest.raises(SpaceError, match=r"is a module; .*lambda i: nn\.ReLU"):
            Repeat(nn.ReLU(), 1, 2)


class Block(nn.Module):
    """Takes two inputs, of which it returns the first one."""

    def __init__(self, i: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
        out: Tensor = x + self.linear(x) * mask * scale
        return out


class Passing(Block):
    """Returns all inputs of the next block."""

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(x, mask), mask / 2


class Masked(nn.Module):
    def __init__(self, block: Callable[[int], nn.Module], low: int) -> None:
        super().__init__()
        self.blocks = Repeat(block, low, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.blocks(x, mask)
        return out[0] if isinstance(out, tuple) else out


def chosen(i: int) -> nn.Module:
    return Choice({"block": lambda: Block(i), "other": lambda: Block(i)})


class TestSeveralInputs:
    INPUTS = (TensorSpec((3,)), TensorSpec((3,)))
    CASES = pytest.mark.parametrize(("block", "low"), [(Block, 0), (Block, 1), (chosen, 0), (Passing, 1)])

    @CASES
    def test_they_reach_every_block_at_every_depth(self, block: Callable[[int], nn.Module], low: int) -> None:
        space = ModelSpace(lambda: Masked(block, low), inputs=self.INPUTS)
        space.check()
        supernet = Supernet(space).eval()
        x, mask = space.example(4).tensors
        for arch in space.enumerate():
            network = supernet.extract(arch)
            torch.testing.assert_close(network(x, mask), supernet((x, mask), arch))
            expected = x
            for i, layer in enumerate(network.blocks):  # type: ignore[arg-type]
                expected = expected + layer.linear(expected) * mask / (2**i if block is Passing else 1)
            torch.testing.assert_close(network(x, mask), expected)

    def test_a_mixture_of_depths_mixes_the_first_one(self) -> None:
        space = ModelSpace(lambda: Masked(Block, 0), inputs=self.INPUTS)
        supernet, inputs = Supernet(space).eval(), space.example(4)
        depths = [supernet(inputs, {"blocks": depth}) for depth in (0, 1, 2)]
        mixed = supernet(inputs, {"blocks": torch.tensor([0.5, 2.0, 1.0])})
        torch.testing.assert_close(mixed, 0.5 * depths[0] + 2 * depths[1] + depths[2])

    def test_a_block_cannot_return_several_where_no_block_returns_one(self) -> None:
        with pytest.raises(SpaceError, match=r"takes 2 inputs must return the new first one.*got 2 with low=0"):
            ModelSpace(lambda: Masked(Passing, 0), inputs=self.INPUTS).check()

    def test_blocks_of_one_input_become_a_plain_sequence(self) -> None:
        assert type(materialised(Repeat(lambda i: nn.Linear(1, 1), 0, 2), 0)) is nn.Sequential
        assert type(materialised(Repeat(lambda i: nn.Linear(1, 1), 0, 2), 2)) is nn.Sequential
