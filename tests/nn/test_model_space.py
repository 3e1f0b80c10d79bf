import gc
import math
import weakref
from collections.abc import Callable

import pytest
import torch
from ray import cloudpickle
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn import Choice, InputChoice, ModelSpace, Repeat
from raynas.nn.decision_module import DecisionModule
from raynas.nn.input_choice import SelectInputs
from raynas.testing import SpaceContract

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


class Branch(nn.Module):
    """A candidate with a choice inside."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Choice({"wide": lambda: nn.Conv2d(4, 4, 3, padding=1), "narrow": lambda: nn.Conv2d(4, 4, 1)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.op(x)
        return out


class Plain(nn.Module):
    """Nothing to decide."""


class Net(nn.Module):
    """Every kind of choice, nested, shared and followed by lazy layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block = Choice({"branch": Branch, "skip": nn.Identity, "pool": lambda: nn.AvgPool2d(3, 1, 1)})
        self.layers = Repeat(lambda i: nn.Sequential(self.conv(), Choice(self.ACTIVATIONS)), low=1, high=3)
        self.merge = InputChoice(3, n_chosen=2, reduction="concat")
        self.width = Choice({f"w{w}": lambda w=w: nn.LazyConv2d(w, 1) for w in (4, 8)})  # type: ignore[misc]
        self.act = Choice(self.ACTIVATIONS, label="act")
        self.act2 = Choice(self.ACTIVATIONS, label="act")
        self.head = nn.Sequential(nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5))

    ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}  # noqa: RUF012

    @staticmethod
    def conv() -> nn.Module:
        return nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        block = self.block(stem)
        merged = self.merge(stem, block, self.layers(block))
        out: torch.Tensor = self.head(self.act2(self.act(self.width(merged))))
        return out


ARCH: dict[str, Option] = {
    "block": "branch",
    "block.branch.op": "narrow",
    "layers": 2,
    "layers.0.1": "relu",
    "layers.1.1": "tanh",
    "merge": "0+2",
    "width": "w8",
    "act": "tanh",
}


class TestContract(SpaceContract):
    has_supernet = False  # Lazy layers follow the choice of widths.

    @pytest.fixture
    def space(self) -> SearchSpace:
        return ModelSpace(Net, input_shape=(1, 6, 6))


@pytest.fixture
def space() -> ModelSpace:
    return ModelSpace(Net, input_shape=(1, 6, 6))


def conditions(*makes: tuple[str, Callable[[], nn.Module]]) -> dict[str, dict[str, list[object]]]:
    """Name and condition of every decision in a model of these submodules."""
    space = ModelSpace(lambda: nn.ModuleDict({name: make() for name, make in makes}), input_shape=(1,))
    return {d.name: {parent: list(options) for parent, options in d.active_if.items()} for d in space.decisions}


def leaf(label: str | None = None) -> Choice:
    return Choice({"a": nn.Identity, "b": nn.ReLU}, label=label)


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

    def test_happens_once(self) -> None:
        calls = []
        space = ModelSpace(lambda: calls.append(0) or nn.Sequential(leaf()), input_shape=(1,))  # type: ignore[func-returns-value]
        for _ in range(3):
            assert space.decisions
        before = len(calls)
        assert space.decisions and space.size and len(calls) == before

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

    def test_refuses_labels_that_depend_on_different_choices(self) -> None:
        def parent() -> Choice:
            return Choice({"in": lambda: leaf("op"), "out": nn.Identity})

        with pytest.raises(SpaceError, match=r"label 'op' .* 'x.in' .* and 'y.in' .*use a label for each"):
            conditions(("x", parent), ("y", parent))

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

    def test_refuses_a_model_for_a_factory(self) -> None:
        with pytest.raises(SpaceError, match=r"needs a factory .* got Linear"):
            ModelSpace(nn.Linear(1, 1), input_shape=(1,))

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


class TestBuild:
    def test_gives_the_chosen_network(self, space: ModelSpace) -> None:
        torch.manual_seed(0)
        net = space.build(ARCH)
        assert isinstance(net.block, Branch) and isinstance(net.block.op, nn.Conv2d)
        assert net.block.op.kernel_size == (1, 1)
        assert isinstance(net.layers, nn.Sequential)
        assert [type(block[1]) for block in net.layers] == [nn.ReLU, nn.Tanh]  # type: ignore[index]
        assert isinstance(net.merge, SelectInputs) and net.merge.indices == (0, 2)
        assert isinstance(net.act, nn.Tanh) and isinstance(net.act2, nn.Tanh)
        assert net(torch.zeros(2, 1, 6, 6)).shape == (2, 5)

    def test_leaves_no_trace_but_input_selection(self, space: ModelSpace) -> None:
        for module in space.build(ARCH).modules():
            assert not isinstance(module, DecisionModule)
            assert isinstance(module, SelectInputs) or not type(module).__module__.startswith("raynas")
            assert "Lazy" not in type(module).__name__

    def test_state_dict_is_that_of_a_network_written_by_hand(self, space: ModelSpace) -> None:
        keys = {name.rpartition(".")[0] for name in space.build(ARCH).state_dict()}
        assert keys == {"stem", "block.op", "layers.0.0", "layers.1.0", "width", "head.0", "head.3"}

    @pytest.mark.parametrize(("width", "expected"), [("w4", 4), ("w8", 8)])
    def test_lazy_layers_take_the_width_that_reaches_them(self, space: ModelSpace, width: str, expected: int) -> None:
        for device in ("cpu", "meta"):
            with torch.device(device):
                net = space.build({**ARCH, "width": width})
            shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
            assert shapes["width.weight"] == (expected, 8, 1, 1)
            assert shapes["head.0.running_mean"] == (expected,)
            assert shapes["head.3.weight"] == (5, expected)

    def test_finding_widths_leaves_the_network_in_training_mode(self, space: ModelSpace) -> None:
        net = space.build(ARCH)
        assert all(module.training for module in net.modules())
        assert net.get_buffer("head.0.num_batches_tracked").item() == 0

    def test_says_when_widths_cannot_be_found(self) -> None:
        def model() -> nn.Module:
            return nn.Sequential(Choice({"a": lambda: nn.Linear(3, 2), "b": nn.ReLU}), nn.LazyLinear(1))

        space = ModelSpace(model, input_shape=(7,))
        assert space.build(Architecture({"0": "b"}))[1].in_features == 7  # type: ignore[index]
        with pytest.raises(SpaceError, match=r"widths of lazy layers failed on one example of shape \(7,\)"):
            space.build(Architecture({"0": "a"}))

    def test_says_which_lazy_layer_is_never_reached(self) -> None:
        class Unused(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.used = leaf()
                self.spare = nn.LazyLinear(1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.used(x)
                return out

        with pytest.raises(SpaceError, match="Unused: the forward pass never reaches lazy layer 'spare'"):
            ModelSpace(Unused, input_shape=(1,)).build(Architecture({"used": "a"}))

    def test_refuses_a_model_that_changes_between_calls(self) -> None:
        calls: list[int] = []

        def model() -> nn.Module:
            calls.append(0)
            return nn.Sequential(leaf(), *([leaf()] if len(calls) > 2 else []))

        with pytest.raises(SpaceError, match="choice '1' was not there before"):
            ModelSpace(model, input_shape=(1,)).build(Architecture({"0": "a"}))

    def test_a_discarded_network_is_freed_at_once(self, space: ModelSpace) -> None:
        gc.disable()
        try:
            net = weakref.ref(space.build({**ARCH, "block": "skip"}))
            assert net() is None
        finally:
            gc.enable()


def test_check_names_the_option_that_breaks() -> None:
    def model() -> nn.Module:
        return nn.Sequential(
            Choice({"good": lambda: nn.Linear(4, 4), "bad": lambda: nn.Linear(4, 3)}, label="first"),
            Choice({"x": nn.ReLU, "y": nn.Tanh}, label="second"),
            nn.Linear(4, 2),
        )

    with pytest.raises(SpaceError, match="options that only these have: first='bad';"):
        ModelSpace(model, input_shape=(4,)).check()


def test_name_is_the_models() -> None:
    assert ModelSpace(Net, input_shape=(1, 6, 6)).name == "Net"
    assert ModelSpace(lambda: Net(), input_shape=(1, 6, 6)).name == "ModelSpace"


def test_a_local_model_travels_to_another_process() -> None:
    width = 3

    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = Choice({"linear": lambda: nn.Linear(2, width), "relu": nn.ReLU})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.op(x)
            return out

    space = cloudpickle.loads(cloudpickle.dumps(ModelSpace(Local, input_shape=(2,))))
    assert space.build({"op": "linear"})(torch.zeros(1, 2)).shape == (1, width)
