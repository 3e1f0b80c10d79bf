import pytest
import torch
from torch import nn

from raynas.errors import SpaceError
from raynas.nn import InputChoice
from raynas.nn.input_choice import Reduction, SelectInputs
from tests.nn.materialised import materialised


class TestInputChoice:
    def test_options_are_the_inputs(self) -> None:
        assert InputChoice(3).decision("x", {}).options == ("0", "1", "2")

    def test_options_for_several_are_combinations(self) -> None:
        assert InputChoice(3, n_chosen=2).decision("x", {}).options == ("0+1", "0+2", "1+2")

    @pytest.mark.parametrize(("reduction", "expected"), [("sum", [5.0]), ("mean", [2.5]), ("concat", [1.0, 4.0])])
    def test_reduces_the_chosen(self, reduction: Reduction, expected: list[float]) -> None:
        module = materialised(InputChoice(3, n_chosen=2, reduction=reduction), "0+2")
        inputs = [torch.tensor([[value]]) for value in (1.0, 2.0, 4.0)]
        assert module(*inputs).tolist() == [expected]
        assert module(inputs).tolist() == [expected]

    def test_leaves_its_inputs_alone(self) -> None:
        inputs = [torch.ones(1, 1), torch.ones(1, 1)]
        materialised(InputChoice(2, n_chosen=2), "0+1")(*inputs)
        assert [x.item() for x in inputs] == [1, 1]

    def test_refuses_another_number_of_inputs(self) -> None:
        with pytest.raises(ValueError, match="expected 3 inputs, got 2"):
            materialised(InputChoice(3), "0")(torch.zeros(1), torch.zeros(1))

    @pytest.mark.parametrize(("n_inputs", "n_chosen"), [(0, 1), (2, 0), (2, 3)])
    def test_refuses_impossible_numbers(self, n_inputs: int, n_chosen: int) -> None:
        with pytest.raises(SpaceError, match=f"1 <= n_chosen <= n_inputs, got {n_chosen} and {n_inputs}"):
            InputChoice(n_inputs, n_chosen)

    def test_refuses_an_unknown_reduction(self) -> None:
        with pytest.raises(SpaceError, match="one of sum, mean, concat, got 'max'"):
            InputChoice(2, reduction="max")  # type: ignore[arg-type]

    def test_what_it_becomes_can_be_exported(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.select = SelectInputs(2, (0, 1), "sum")

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.select([x, 2 * x])
                return out

        program = torch.export.export(Net(), (torch.ones(2),))
        assert program.module()(torch.ones(2)).tolist() == [3, 3]
