import copy

import torch

from raynas.nn.morphism.channel_order import sort_channels
from raynas.nn.morphism.elastic_channels import channel_groups
from raynas.nn.morphism.layer_kinds import ChannelGroup
from tests.nn.morphism.supernets import Block, Residual, images, supernet_of


def test_sorting_keeps_the_widest_networks_and_moves_the_strongest_channels_to_the_front() -> None:
    supernet = supernet_of(Block, 6)
    members = [dict(arch) | {"expand.out_channels": 8} for arch in supernet.space.enumerate()]
    with torch.no_grad():
        before = [supernet(images(6), arch) for arch in members]
        sort_channels(supernet, channel_groups(supernet), {})
        for arch, out in zip(members, before, strict=True):
            torch.testing.assert_close(supernet(images(6), arch), out, rtol=1e-4, atol=1e-4)
    weights = [supernet.get_parameter(f"net.project.{name}.shared.weight").detach() for name in ("one", "two")]
    strength = weights[0].abs().sum((0, 2, 3)) + weights[1].abs().sum((0, 2, 3))
    assert torch.equal(strength, strength.sort(descending=True).values)


def test_widths_that_were_trained_stay_the_same() -> None:
    """Once 6 of 8 channels make a trained subnet, the channels of it stay in front, in an order of their own."""
    supernet = supernet_of(Block, 6)
    narrow = [dict(arch) | {"expand.out_channels": 6} for arch in supernet.space.enumerate()]
    groups = channel_groups(supernet)
    trained = {"expand.out_channels": (6, 8)}
    with torch.no_grad():
        before = [supernet(images(6), arch) for arch in narrow]
        sort_channels(supernet, groups, trained)
        for arch, out in zip(narrow, before, strict=True):
            torch.testing.assert_close(supernet(images(6), arch), out, rtol=1e-4, atol=1e-4)


def test_channels_that_are_added_go_together() -> None:
    supernet = supernet_of(Residual)
    (group,) = channel_groups(supernet)
    assert group.producers == ("stem", "blocks.0", "blocks.1")
    assert set(group.consumers) == {"blocks.0", "blocks.1", "head"}
    with torch.no_grad():
        before = [supernet(images(2), {"stage": 8, "blocks": depth}) for depth in (1, 2)]
        old = copy.deepcopy(supernet.state_dict())
        sort_channels(supernet, [group], {})
        after = [supernet(images(2), {"stage": 8, "blocks": depth}) for depth in (1, 2)]
    assert any(not torch.equal(old[name], tensor) for name, tensor in supernet.state_dict().items())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_the_optimizer_remembers_in_the_same_order() -> None:
    supernet = supernet_of(Block, 6)
    optimizer = torch.optim.Adam(supernet.parameters())
    supernet(images(6), next(supernet.space.showcase(1))).sum().backward()
    optimizer.step()
    group = ChannelGroup(("expand",), ("project.one",), 8, "expand.out_channels")
    weight = supernet.get_parameter("net.expand.shared.weight")
    optimizer.state[weight]["exp_avg"].copy_(weight.detach())
    before = weight.detach().clone()
    sort_channels(supernet, [group], {}, optimizer)
    assert not torch.equal(before, weight)
    assert torch.equal(optimizer.state[weight]["exp_avg"], weight)
