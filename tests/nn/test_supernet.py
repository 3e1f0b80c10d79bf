import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Integer
from raynas.errors import SpaceError
from raynas.nn import (
    Choice,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
    InputChoice,
    Mixture,
    ModelSpace,
    Repeat,
    Size,
    Supernet,
    ratio,
)
from raynas.testing import SpaceContract


def conv_bn(kernel: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, kernel, padding=kernel // 2), nn.BatchNorm2d(4))


class Bottleneck(nn.Module):
    def __init__(self, i: int) -> None:
        super().__init__()
        hidden = 12
        self.expand = ElasticConv2d(8, ratio((1.0, 1.5), divisor=4), 1)
        self.norm = ElasticBatchNorm2d(hidden)
        self.depthwise = ElasticConv2d(hidden, None, Size((3, 5, 7)), group_width=1, bias=True)
        self.attention = Choice({"se": lambda: ElasticSqueezeExcite(hidden), "none": nn.Identity})
        self.project = ElasticConv2d(hidden, Size((4, 8), label="width"), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, : x.shape[1]]
        out: Tensor = self.project(self.attention(self.depthwise(torch.relu(self.norm(self.expand(x))))))
        return out


class Everything(nn.Module):
    """Every kind of choice, nested, shared and elastic."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = ElasticResize(3, Size((6, 8), label="resolution"))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = Choice(
            {
                "conv": lambda: nn.Sequential(Choice({"k1": lambda: conv_bn(1), "k3": lambda: conv_bn(3)})),
                "half": nn.Tanh,
            },
            null=True,
        )
        self.node = InputChoice(
            3, 2, edge=lambda i: Choice({"skip": nn.Identity, "conv": lambda: conv_bn(3)}, label=f"edge_{i}")
        )
        self.widen = nn.Conv2d(4, 8, 1)
        self.body = Repeat(Bottleneck, 1, 3, label="depth")
        self.aliases = [self.stem, self.widen]  # References of the user's own must stay right.
        self.head = ElasticLinear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.aliases[0](self.resize(x))
        x = self.node(x, self.block(x), -x)
        out: Tensor = self.head(self.body(self.aliases[1](x)).mean((2, 3)))
        return out


@pytest.fixture(scope="module")
def space() -> ModelSpace:
    return ModelSpace(Everything, input_shape=(3, 8, 8))


@pytest.fixture
def supernet(space: ModelSpace) -> Supernet:
    torch.manual_seed(0)
    net = Supernet(space)
    for module in net.modules():  # Statistics that a mistake would show.
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def images(n: int = 3) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def one_hots(supernet: Supernet, arch: Mapping[str, Option]) -> dict[str, Tensor | Mixture]:
    """The selection of weights that means the same as an architecture."""
    weights: dict[str, Tensor | Mixture] = {}
    for name, choice in supernet.choices.items():
        chosen = arch.get(name, supernet.space._decisions[name].default)
        picked = str(chosen).split("+") if isinstance(choice, InputChoice) else [chosen]
        vector = torch.tensor([float(way in picked) for way in choice.alternatives])
        # A mixture of widths is computed at the largest active one.
        weights[name] = Mixture(vector, active=(int(vector.argmax()),)) if isinstance(choice, Size) else vector
    return weights


class TestEverything(SpaceContract):
    @pytest.fixture
    def space(self) -> ModelSpace:
        return ModelSpace(Everything, input_shape=(3, 8, 8))


class TestForward:
    def test_one_hot_weights_mean_the_option(self, supernet: Supernet) -> None:
        for arch in supernet.space.showcase(5):
            selection: dict[str, Option | Tensor | Mixture] = dict(one_hots(supernet, arch))
            selection["resolution"] = arch["resolution"]
            with torch.no_grad():
                torch.testing.assert_close(
                    supernet(images(), selection), supernet(images(), arch), rtol=1e-4, atol=1e-5
                )

    def test_inactive_ways_are_not_computed_and_get_no_gradient(self, supernet: Supernet, space: ModelSpace) -> None:
        arch = dict(next(space.showcase(1))) | {"block": "conv", "block.conv.0": "k1"}
        weights = torch.tensor([0.3, 0.7], requires_grad=True)
        selection = {**arch, "block": "half", "block.conv.0": Mixture(weights, active=(1,)), "node": "0+1"}
        selection |= {"block": "conv", "edge_0": "skip", "edge_1": "skip", "edge_2": "skip"}
        supernet(images(), selection).sum().backward()
        assert weights.grad is not None and weights.grad[0] == 0 and weights.grad[1] != 0
        choice = next(place for place in supernet.expanded_choices if place.name == "block.conv.0")
        assert all(p.grad is None for p in choice.branch("k1").parameters())
        assert any(p.grad is not None for p in choice.branch("k3").parameters())

    def test_a_mixture_is_the_weighted_sum(self, supernet: Supernet, space: ModelSpace) -> None:
        arch = dict(next(space.showcase(1))) | {"node": "0+1", "edge_0": "skip", "edge_1": "skip"}
        x = images()
        net = supernet.net
        assert isinstance(net, Everything)
        after = {}
        for option in ("conv", "half"):
            with torch.no_grad():
                part = supernet.extract({**arch, "block": option, "block.conv.0": "k3"})
                after[option] = part.block(part.stem(part.resize(x)))  # type: ignore[operator]
        mixed = []
        hook = net.block.register_forward_hook(lambda module, inputs, out: mixed.append(out))
        with torch.no_grad():
            supernet(x, {**arch, "block": torch.tensor([0.2, 0.5]), "block.conv.0": "k3"})
        hook.remove()
        torch.testing.assert_close(mixed[0], 0.2 * after["conv"] + 0.5 * after["half"], rtol=1e-4, atol=1e-5)

    def test_leaves_no_state(self, supernet: Supernet, space: ModelSpace) -> None:
        def attributes() -> list[list[str]]:
            return [sorted(vars(module)) for module in supernet.modules()]

        before, state = attributes(), copy.deepcopy(supernet.state_dict())
        for arch in space.showcase(2):
            supernet(images(), arch)
        with pytest.raises(SpaceError):
            supernet(images(), {})
        assert attributes() == before
        assert all(torch.equal(tensor, state[name]) for name, tensor in supernet.state_dict().items())
        with pytest.raises(SpaceError, match="only inside supernet"):
            supernet.net(images())

    def test_refuses_what_it_does_not_know(self, supernet: Supernet, space: ModelSpace) -> None:
        arch = dict(next(space.showcase(1)))
        with pytest.raises(SpaceError, match="no decision 'kernel'"):
            supernet(images(), {**arch, "kernel": 3})
        with pytest.raises(SpaceError, match="lacks decision 'block'"):
            supernet(images(), {name: option for name, option in arch.items() if name != "block"})
        with pytest.raises(SpaceError, match="'block' must be one of conv, half, got 'pool'"):
            supernet(images(), {**arch, "block": "pool"})
        for name, option in {"width": 5, "depth": 0, "node": "1+0", "body.0.depthwise.kernel_size": 4}.items():
            with pytest.raises(SpaceError, match=f"'{name}' must be one of"):
                supernet(images(), {**arch, name: option})
        with pytest.raises(SpaceError, match="'block' has 2 alternatives, got 3"):
            supernet(images(), {**arch, "block": torch.ones(3)})
        with pytest.raises(SpaceError, match="'width' has 2 alternatives, got 3"):
            supernet(images(), {**arch, "width": torch.ones(3)})
        with pytest.raises(SpaceError, match="one for each alternative"):
            Mixture(torch.ones(2, 2))
        with pytest.raises(SpaceError, match="active must name"):
            Mixture(torch.ones(2), active=(2,))
        with pytest.raises(SpaceError, match="each alternative once"):
            Mixture(torch.ones(2), active=(1, 1))

    def test_named_arguments_reach_the_candidate(self) -> None:
        supernet = Supernet(ModelSpace(Named, input_shape=(3,)))
        x = torch.randn(2, 3)
        for option in ("first", "second"):
            out = supernet(x, {"op": option})
            torch.testing.assert_close(out, supernet.extract({"op": option})(x))
        both = supernet(x, {"op": torch.tensor([0.5, 2.0])})
        torch.testing.assert_close(both, 0.5 * supernet(x, {"op": "first"}) + 2 * supernet(x, {"op": "second"}))

    def test_only_a_choice_takes_named_arguments(self) -> None:
        supernet = Supernet(ModelSpace(lambda: Named(Repeat(lambda i: Scaled(), 1, 2)), input_shape=(3,)))
        with pytest.raises(TypeError, match="'op' takes no named arguments, got scale"):
            supernet(torch.randn(2, 3), {"op": 1})

    def test_concatenated_inputs_have_the_order_of_the_option(self) -> None:
        supernet = Supernet(ModelSpace(Joined, input_shape=(3, 4, 4)))
        x = torch.randn(2, 3, 4, 4)
        mixture = Mixture(torch.ones(3), active=(2, 0))
        torch.testing.assert_close(supernet(x, {"inputs": mixture}), supernet(x, {"inputs": "0+2"}))

    @pytest.mark.parametrize("no_gradients", [torch.no_grad, torch.inference_mode])
    def test_mixtures_without_gradients(self, supernet: Supernet, no_gradients: type[torch.no_grad]) -> None:
        arch = next(supernet.space.showcase(1))
        selection = {**arch, "block": torch.tensor([0.5, 2.0]), "block.conv.0": torch.tensor([0.3, 0.7])}
        expected = supernet(images(), selection)
        with no_gradients():
            torch.testing.assert_close(supernet(images(), selection), expected, rtol=1e-4, atol=1e-5)

    def test_only_a_model_with_choices_has_one(self) -> None:
        from raynas.search_spaces import MLP

        with pytest.raises(SpaceError, match="needs a ModelSpace"):
            Supernet(MLP())  # type: ignore[arg-type]

    def test_shared_decisions_are_decided_together(self) -> None:
        def model() -> nn.Module:
            return nn.Sequential(
                *(Choice({"a": lambda: nn.Linear(2, 2), "b": nn.Identity}, label="op") for _ in range(2))
            )

        supernet = Supernet(ModelSpace(model, input_shape=(2,)))
        assert len(supernet.expanded_choices) == 2 and list(supernet.choices) == ["op"]
        x = torch.randn(1, 2)
        assert torch.equal(supernet(x, {"op": "b"}), x)


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


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inputs = InputChoice(3, 2, "concat")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inputs(x, 2 * x, 3 * x)
        return out


class TestExtract:
    def test_a_candidate_keeps_its_own_mode(self, supernet: Supernet) -> None:
        supernet.train()
        next(place for place in supernet.expanded_choices if place.name == "block").branch("half").eval()
        arch = {**next(supernet.space.showcase(1)), "block": "half"}
        block = supernet.extract(arch).get_submodule("block")
        assert isinstance(block, nn.Tanh) and not block.training

    def test_weights_are_copies_or_shared_as_asked(self, supernet: Supernet, space: ModelSpace) -> None:
        arch = next(space.showcase(1))
        own = {tensor.untyped_storage().data_ptr() for tensor in supernet.state_dict().values()}
        copied, shared = supernet.extract(arch), supernet.extract(arch, copy_weights=False)
        assert not own & {p.untyped_storage().data_ptr() for p in copied.parameters()}
        assert {"stem.weight"} <= {n for n, p in shared.named_parameters() if p.untyped_storage().data_ptr() in own}
        with torch.no_grad():
            torch.testing.assert_close(shared(images()), copied(images()))

    def test_holds_no_part_that_was_not_chosen(self, supernet: Supernet) -> None:
        arch = next(supernet.space.showcase(1))
        assert {type(m).__module__.partition(".")[0] for m in supernet.extract(arch).modules()} & {"raynas"} <= {
            "raynas"
        }
        assert not any(isinstance(m, Choice | Size) for m in supernet.extract(arch).modules())

    def test_references_between_modules_stay_right(self, supernet: Supernet) -> None:
        subnet = supernet.extract(next(supernet.space.showcase(1)))
        assert isinstance(subnet, Everything) and subnet.aliases[0] is subnet.stem

    def test_takes_members_only(self, supernet: Supernet) -> None:
        with pytest.raises(SpaceError, match="lacks decision"):
            supernet.extract(Architecture({}))

    def test_keeps_frozen_parameters_frozen(self, supernet: Supernet, space: ModelSpace) -> None:
        supernet.requires_grad_(False)
        assert not any(p.requires_grad for p in supernet.extract(next(space.showcase(1))).parameters())


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


def test_decisions_of_elastic_layers(space: ModelSpace) -> None:
    names = {d.name: d for d in space.decisions}
    assert list(names["body.2.depthwise.kernel_size"].options) == [3, 5, 7]
    assert names["width"].active_if == {} and isinstance(names["depth"], Integer)
    assert names["body.2.expand.out_channels"].active_if == {"depth": (3,)}
    assert names["edge_0"].active_if == {"node": ("0+1", "0+2")}
