import math

import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.errors import SpaceError
from raynas.nn import Choice, ModelSpace
from tests.nn.networks import Net, Plain, conditions, leaf

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


@pytest.fixture
def space() -> ModelSpace:
    return ModelSpace(Net, input_shape=(1, 6, 6))


class TestDiscovery:
    def test_names_are_paths_and_conditions_are_read_off(self, space: ModelSpace) -> None:
        assert {d.name: {n: list(o) for n, o in d.active_if.items()} for d in space.decisions} == {
            "block": {},
            "block.branch.op": {"block": ["branch"]},
            "layers": {},
            "layers.0.1": {},
            "layers.1.1": {"layers": [2, 3]},
            "layers.2.1": {"layers": [3]},
            "merge": {},
            "width": {},
            "act": {},
        }

    def test_size_counts_each_network_once(self, space: ModelSpace) -> None:
        assert space.size == (2 + 1 + 1) * (2 + 4 + 8) * math.comb(3, 2) * 2 * 2

    def test_takes_no_memory_and_no_random_numbers(self) -> None:
        def draws() -> nn.Module:
            torch.rand(1, device="cpu")
            return nn.Linear(10**6, 10**6)

        huge = ModelSpace(lambda: Choice({"a": draws, "b": nn.ReLU}), input_shape=(1,))
        state = torch.random.get_rng_state()
        assert len(huge.decisions) == 1
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_the_model_itself_may_be_a_choice(self) -> None:
        space = ModelSpace(leaf, input_shape=(1,))
        assert [d.name for d in space.decisions] == ["model"]
        assert isinstance(space.build(Architecture({"model": "b"})), nn.ReLU)

    def test_a_candidate_may_be_a_choice(self) -> None:
        space = ModelSpace(lambda: nn.Sequential(Choice({"x": leaf, "y": nn.Tanh})), input_shape=(1,))
        assert [d.name for d in space.decisions] == ["0", "0.x"]
        assert isinstance(space.build(Architecture({"0": "x", "0.x": "b"}))[0], nn.ReLU)  # type: ignore[index]

    def test_one_choice_at_two_places_is_one_decision_and_one_module(self) -> None:
        def model() -> nn.Module:
            tied = Choice({"a": lambda: nn.Linear(2, 2), "b": nn.Identity})
            return nn.Sequential(tied, nn.Sequential(tied))

        space = ModelSpace(model, input_shape=(2,))
        net = space.build(Architecture({"0": "a"}))
        assert net[0] is net[1][0]  # type: ignore[index]

    def test_labels_make_one_decision(self) -> None:
        assert conditions(("x", lambda: leaf("op")), ("y", lambda: leaf("op"))) == {"op": {}}

    def test_a_label_inside_itself_repeats_the_choice(self) -> None:
        def inner() -> Choice:
            return Choice({"a": nn.Tanh, "b": nn.ReLU}, label="op")

        space = ModelSpace(lambda: Choice({"a": inner, "b": nn.Identity}, label="op"), input_shape=(1,))
        assert space.size == 2
        assert isinstance(space.build(Architecture({"op": "a"})), nn.Tanh)

    def test_refuses_labels_with_different_options(self) -> None:
        other = Choice({"a": nn.Identity, "c": nn.Tanh}, label="op")
        with pytest.raises(SpaceError, match=r"'x' and 'y' share the label 'op' .*\['a', 'b'\] and \['a', 'c'\]"):
            conditions(("x", lambda: leaf("op")), ("y", lambda: other))

    def test_refuses_a_label_that_is_also_a_path(self) -> None:
        with pytest.raises(SpaceError, match="'x' and one at 'y' have the same name"):
            conditions(("x", leaf), ("y", lambda: leaf("x")))

    def test_refuses_choices_that_nest_without_end(self) -> None:
        def endless() -> Choice:
            return Choice({"deeper": endless, "stop": nn.Identity})

        with pytest.raises(SpaceError, match=r"nest without end at 'x\.deeper\.deeper"):
            conditions(("x", endless))

    def test_refuses_a_model_without_choices(self) -> None:
        with pytest.raises(SpaceError, match="Plain has no Choice"):
            ModelSpace(Plain, input_shape=(1,)).decisions  # noqa: B018

    def test_refuses_a_factory_that_makes_one_model_only(self) -> None:
        model = nn.Sequential(leaf())
        with pytest.raises(SpaceError, match="returns the same module again"):
            ModelSpace(lambda: model, input_shape=(1,)).decisions  # noqa: B018

    def test_says_what_cannot_run_without_values(self) -> None:
        def model() -> nn.Module:
            torch.ones(1).item()
            return leaf()

        with pytest.raises(SpaceError, match="model cannot be made on the meta device, where tensors have no values"):
            ModelSpace(model, input_shape=(1,)).decisions  # noqa: B018
