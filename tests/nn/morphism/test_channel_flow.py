"""Groups of channels that are read off a trace."""

import pytest
import torch
from torch import Tensor, nn

from raynas.nn.morphism.channel_flow import ChannelFlow
from raynas.nn.morphism.channel_groups import OUTPUT_SLOTS, ChannelGroup, consumer_slots, reorder
from tests.nn.morphism.networks import Depthwise, Joined, Plain, Residual, Spatial, result, trained

GROUPS: list[tuple[type[nn.Module], list[ChannelGroup]]] = [
    # The output of conv2 is flattened, which ties each channel to several features.
    (Plain, [ChannelGroup(("conv1",), ("bn1", "conv2"), 6), ChannelGroup(("hidden",), ("bn3", "head"), 12)]),
    (
        Residual,
        [
            ChannelGroup(
                ("stem.0", "first.4", "second.1"), ("stem.1", "first.1", "first.5", "second.1", "second.2", "head"), 6
            ),
            ChannelGroup(("first.1",), ("first.2", "first.4"), 4),
        ],
    ),
    (Joined, []),
    # The depthwise layer that doubles the channels is no group: its outputs follow from its inputs.
    (Depthwise, [ChannelGroup(("squeeze",), ("excite",), 2)]),
    (Spatial, [ChannelGroup(("conv",), ("norm", "gate", "head"), 4)]),
]


@pytest.mark.parametrize(("make", "expected"), GROUPS)
def test_groups_of_layers_that_share_channels(make: type[nn.Module], expected: list[ChannelGroup]) -> None:
    model, example = trained(make)
    found = {group.producers: group for group in ChannelFlow(model, example).groups()}
    assert found.keys() == {group.producers for group in expected}
    for group in expected:
        assert set(found[group.producers].consumers) == set(group.consumers)
        assert found[group.producers].n_channels == group.n_channels


@pytest.mark.parametrize("make", [Plain, Residual, Depthwise, Spatial])
def test_the_order_of_a_group_does_not_change_the_function(make: type[nn.Module]) -> None:
    model, example = trained(make)
    before = result(model, example)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for group in ChannelFlow(model, example).groups():
        order = torch.arange(group.n_channels).roll(1)
        for name in group.producers:
            reorder(model.get_submodule(name), OUTPUT_SLOTS, order)
        for name in group.consumers:
            slots = consumer_slots(model.get_submodule(name))
            assert slots is not None
            reorder(model.get_submodule(name), slots, order)
    assert any(not torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    torch.testing.assert_close(result(model, example), before, atol=1e-5, rtol=1e-5)


class Split(nn.Module):
    """The channels of one layer are split; the sizes of another one are only looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.last = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 3, 1)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.whole(x).chunk(2, dim=1)
        y = self.last(first * second)
        out: Tensor = self.head(y.reshape(y.size(0), y.shape[1], -1).mean(2))
        return out


def test_channels_that_are_split_are_in_no_group() -> None:
    model, example = trained(Split)
    assert [group.producers for group in ChannelFlow(model, example).groups()] == [("last",)]


def test_layers_with_shared_weights_are_in_no_group() -> None:
    model, example = trained(Residual)
    model.get_submodule("second.1").weight = nn.Parameter(torch.randn(6, 6, 3, 3))
    model.get_submodule("stem").add_module("2", nn.Conv2d(6, 6, 3, padding=1, bias=False))
    model.get_submodule("stem.2").weight = model.get_submodule("second.1").weight
    producers = [group.producers for group in ChannelFlow(model, example).groups()]
    assert producers == [("first.1",)]
