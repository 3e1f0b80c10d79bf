from collections.abc import Mapping

import pytest
from torch import nn

from raynas.core.decision import Categorical, Decision
from raynas.errors import SpaceError
from raynas.nn import Choice, Repeat
from raynas.nn.conditions import implies, merged, simplified, weakest
from tests.nn.networks import conditions, leaf

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


class TestDiscovery:
    def test_an_unconditional_place_makes_the_label_unconditional(self) -> None:
        inside = ("x", lambda: Choice({"in": lambda: leaf("op"), "out": nn.Identity}))
        assert conditions(inside, ("y", lambda: leaf("op"))) == {"x": {}, "op": {}}

    def test_places_under_one_parent_are_united(self) -> None:
        def parent() -> Choice:
            return Choice({"p": lambda: leaf("op"), "q": lambda: nn.Sequential(leaf("op")), "r": nn.Identity})

        assert conditions(("x", parent)) == {"x": {}, "op": {"x": ["p", "q"]}}

    def test_places_under_all_options_exist_where_the_parent_does(self) -> None:
        def parent() -> Choice:
            return Choice({"p": lambda: leaf("op"), "q": lambda: nn.Sequential(leaf("op"))})

        assert conditions(("x", parent)) == {"x": {}, "op": {}}
        found = conditions(("x", lambda: Choice({"on": parent, "off": nn.Identity})))
        assert found == {"x": {}, "x.on": {"x": ["on"]}, "op": {"x": ["on"]}}

    def test_blocks_of_a_repeat_share_a_label_where_the_first_exists(self) -> None:
        found = conditions(("layers", lambda: Repeat(lambda i: leaf("op"), low=0, high=3)))
        assert found == {"layers": {}, "op": {"layers": [1, 2, 3]}}

    def test_conditions_name_the_nearest_choice_only(self) -> None:
        def middle() -> Choice:
            return Choice({"on": leaf, "off": nn.Identity})

        found = conditions(("x", lambda: Choice({"on": middle, "off": nn.Identity})))
        assert found == {"x": {}, "x.on": {"x": ["on"]}, "x.on.on": {"x.on": ["on"]}}

    def test_inside_a_shared_parent_a_choice_exists_only_where_its_place_does(self) -> None:
        def parent() -> Choice:
            return Choice({"p": leaf, "q": nn.Identity}, label="shared")

        found = conditions(("x", lambda: Choice({"on": parent, "off": nn.Identity})), ("y", parent))
        assert found == {
            "x": {},
            "shared": {},
            "x.on.p": {"x": ["on"], "shared": ["p"]},
            "y.p": {"shared": ["p"]},
        }

    def test_refuses_labels_that_depend_on_different_choices(self) -> None:
        def parent() -> Choice:
            return Choice({"in": lambda: leaf("op"), "out": nn.Identity})

        with pytest.raises(SpaceError, match=r"label 'op' .* 'x.in' .* and 'y.in' .*use a label for each"):
            conditions(("x", parent), ("y", parent))


class TestConditions:
    DECISIONS: Mapping[str, Decision] = {
        "x": Categorical("x", ("a", "b", "c")),
        "y": Categorical("y", ("a", "b"), active_if={"x": ("a",)}),
    }

    def test_a_condition_implies_a_weaker_one(self) -> None:
        assert implies({"x": ("a",), "y": ("a",)}, {"x": ("a", "b")})
        assert implies({"x": ("a",)}, {})
        assert not implies({"x": ("a", "b")}, {"x": ("a",)})
        assert not implies({}, {"x": ("a",)})

    def test_the_weakest_of_several_remain(self) -> None:
        assert weakest([{"x": ("a",)}, {"x": ("a", "b")}, {"x": ("b",)}]) == [{"x": ("a", "b")}]
        assert weakest([{"x": ("a",)}, {"y": ("b",)}]) == [{"x": ("a",)}, {"y": ("b",)}]

    def test_the_logical_or_has_the_options_in_the_order_of_the_decision(self) -> None:
        assert merged([{"x": ("c",)}, {"x": ("a",)}], self.DECISIONS) == {"x": ("a", "c")}
        assert merged([{"x": ("c",)}, {"y": ("a",)}], self.DECISIONS) is None

    def test_entries_that_follow_from_others_are_dropped(self) -> None:
        assert simplified({"x": ("a", "b", "c")}, self.DECISIONS) == {}
        assert simplified({"x": ("a",), "y": ("b",)}, self.DECISIONS) == {"y": ("b",)}
