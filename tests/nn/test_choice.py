import copy
from collections.abc import Callable

import pytest
import torch
from ray import cloudpickle
from torch import nn

from raynas.core.decision import Categorical, Integer
from raynas.errors import SpaceError
from raynas.nn import Choice, InputChoice, Repeat
from raynas.nn.decision_module import DecisionModule
from raynas.nn.input_choice import Reduction, SelectInputs


def materialised(choice: DecisionModule, option: str | int) -> nn.Module:
    return choice.assemble(option, choice.make)


class TestChoice:
    def test_makes_the_chosen_candidate_only(self) -> None:
        made: list[str] = []

        def candidate(name: str) -> Callable[[], nn.Module]:
            def make() -> nn.Module:
                made.append(name)
                return nn.Linear(1, len(name))

            return make

        choice = Choice({"ab": candidate("ab"), "abc": candidate("abc")})
        module = materialised(choice, "abc")
        assert isinstance(module, nn.Linear) and module.out_features == 3
        assert made == ["abc"]
        assert choice.decision("x", {}) == Categorical("x", ("ab", "abc"))

    def test_holds_no_weights(self) -> None:
        choice = Choice({"big": lambda: nn.Linear(1000, 1000)})
        assert not list(choice.parameters()) and not list(choice.children())

    @pytest.mark.parametrize(
        ("candidates", "message"),
        [
            ({}, "at least one candidate"),
            ({"conv": nn.Conv2d(1, 1, 1)}, "option 'conv' of a Choice is a module; .*lambda: nn.Conv2d"),
            ({"conv": 3}, "option 'conv' of a Choice must be a factory .* got 3"),
            ({"a/b": nn.Identity}, "without '/' and '.', got 'a/b'"),
            ({"a.b": nn.Identity}, "without '/' and '.', got 'a.b'"),
            ({"training": nn.Identity}, "cannot be called 'training'"),
            ({"": nn.Identity}, "got ''"),
            ({1: nn.Identity}, "got 1"),
        ],
    )
    def test_refuses_what_it_cannot_use(self, candidates: dict[str, type[nn.Module]], message: str) -> None:
        with pytest.raises(SpaceError, match=message) as error:
            Choice(candidates)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("label", ["", "a/b"])
    def test_refuses_a_label_that_tune_cannot_hold(self, label: str) -> None:
        with pytest.raises(SpaceError, match="label"):
            Choice({"a": nn.Identity}, label=label)

    def test_refuses_a_factory_that_makes_no_module(self) -> None:
        with pytest.raises(SpaceError, match=r"factory of 'a' must return an nn\.Module, got int"):
            materialised(Choice({"a": lambda: 3}), "a")  # type: ignore[dict-item, return-value]

    def test_forward_says_how_to_build(self) -> None:
        with pytest.raises(SpaceError, match=r"Choice is not decided yet: .*space\.build\(arch\)"):
            nn.Sequential(Choice({"a": nn.Identity}))(torch.zeros(1))

    def test_reads_captured_variables_when_it_is_made(self) -> None:
        choices, width = [], 1
        for _ in range(3):
            choices.append(Choice({"linear": lambda: nn.Linear(width, 2 * width)}))  # noqa: B023
            width *= 2
        assert [materialised(choice, "linear").in_features for choice in choices] == [1, 2, 4]

    def test_refuses_lambdas_of_a_loop_that_all_make_the_last(self) -> None:
        with pytest.raises(SpaceError, match=r"'k1' and 'k3' of a Choice make the same module.*lambda k=k"):
            Choice({f"k{k}": lambda: nn.Conv2d(1, 1, k) for k in (1, 3)})  # noqa: B023
        choice = Choice({f"k{k}": lambda k=k: nn.Conv2d(1, 1, k) for k in (1, 3)})  # type: ignore[misc]
        assert materialised(choice, "k1").kernel_size == (1, 1)
        choice = Choice({f"k{k}": lambda *, k=k: nn.Conv2d(1, 1, k) for k in (1, 3)})  # type: ignore[misc]
        assert materialised(choice, "k3").kernel_size == (3, 3)

    def test_a_factory_may_refer_to_what_comes_later(self) -> None:
        def make() -> nn.Module:
            return later()

        choice = Choice({"a": make})

        def later() -> nn.Module:
            return nn.Linear(1, 7)

        module = materialised(choice, "a")
        assert isinstance(module, nn.Linear) and module.out_features == 7

    def test_copies_and_pickles(self) -> None:
        width = 3
        for copied in (copy.deepcopy, lambda c: cloudpickle.loads(cloudpickle.dumps(c))):
            choice = copied(Choice({"linear": lambda: nn.Linear(width, 1)}))
            assert materialised(choice, "linear").in_features == width

    def test_prints_its_options(self) -> None:
        assert repr(Choice({"a": nn.Identity, "b": nn.ReLU})) == "Choice(a, b)"


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

    def test_reads_captured_variables_when_it_is_made(self) -> None:
        width = 2
        repeat = Repeat(lambda i: nn.Linear(width, width), low=1, high=1)
        width = 5
        assert materialised(repeat, 1)[0].in_features == 2  # type: ignore[index]

    @pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2), (0, 0)])
    def test_refuses_impossible_depths(self, low: int, high: int) -> None:
        with pytest.raises(SpaceError, match=f"got {low} and {high}"):
            Repeat(lambda i: nn.Identity(), low, high)

    def test_refuses_a_module_for_its_block(self) -> None:
        with pytest.raises(SpaceError, match=r"is a module; .*lambda i: nn\.ReLU"):
            Repeat(nn.ReLU(), 1, 2)
