import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Integer
from raynas.errors import SpaceError
from raynas.nn import (
    Choice,
    InputChoice,
    Mixture,
    ModelSpace,
    Size,
    Supernet,
)
from raynas.testing import SpaceContract
from tests.nn.everything import Everything, images, supernet_with_statistics


@pytest.fixture(scope="module")
def space() -> ModelSpace:
    return ModelSpace(Everything, input_shape=(3, 8, 8))


@pytest.fixture
def supernet(space: ModelSpace) -> Supernet:
    return supernet_with_statistics(space)


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


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inputs = InputChoice(3, 2, "concat")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inputs(x, 2 * x, 3 * x)
        return out


def test_decisions_of_elastic_layers(space: ModelSpace) -> None:
    names = {d.name: d for d in space.decisions}
    assert list(names["body.2.depthwise.kernel_size"].options) == [3, 5, 7]
    assert names["width"].active_if == {} and isinstance(names["depth"], Integer)
    assert names["body.2.expand.out_channels"].active_if == {"depth": (3,)}
    assert names["edge_0"].active_if == {"node": ("0+1", "0+2")}
