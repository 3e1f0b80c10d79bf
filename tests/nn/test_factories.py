import pytest
from torch import nn

from raynas.errors import SpaceError
from raynas.nn import Choice, Repeat
from tests.nn.materialised import materialised


class TestChoice:
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


class TestRepeat:
    def test_reads_captured_variables_when_it_is_made(self) -> None:
        width = 2
        repeat = Repeat(lambda i: nn.Linear(width, width), low=1, high=1)
        width = 5
        assert materialised(repeat, 1)[0].in_features == 2  # type: ignore[index]
