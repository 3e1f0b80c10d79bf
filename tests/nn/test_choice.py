import copy
from collections.abc import Callable

import pytest
from ray import cloudpickle
from torch import nn

from raynas.core.decision import Categorical
from raynas.errors import SpaceError
from raynas.nn import Choice
from tests.nn.materialised import materialised


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

    def test_copies_and_pickles(self) -> None:
        width = 3
        for copied in (copy.deepcopy, lambda c: cloudpickle.loads(cloudpickle.dumps(c))):
            choice = copied(Choice({"linear": lambda: nn.Linear(width, 1)}))
            assert materialised(choice, "linear").in_features == width

    def test_prints_its_options(self) -> None:
        assert repr(Choice({"a": nn.Identity, "b": nn.ReLU})) == "Choice(a, b)"
