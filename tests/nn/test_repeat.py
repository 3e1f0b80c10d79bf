import pytest
import torch
from torch import nn

from raynas.core.decision import Integer
from raynas.errors import SpaceError
from raynas.nn import Repeat
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
