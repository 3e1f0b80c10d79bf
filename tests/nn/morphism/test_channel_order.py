import copy
from typing import Any

import pytest
import torch

from raynas.nn import ModelSpace, Supernet
from raynas.nn.morphism.channel_order import sort_channels
from raynas.nn.morphism.elastic_channels import ChannelGroup, channel_groups
from raynas.oneshot.extremes import largest
from raynas.search_spaces import MobileNetV3, ResNet
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
    slots, readers = (("expand.shared.weight", 0), ("project.one.shared.weight", 1)), ("project.one.shared.weight",)
    group = ChannelGroup("expand.out_channels", ("expand",), 8, slots, readers)
    weight = supernet.get_parameter("net.expand.shared.weight")
    optimizer.state[weight]["exp_avg"].copy_(weight.detach())
    before = weight.detach().clone()
    sort_channels(supernet, [group], {}, optimizer)
    assert not torch.equal(before, weight)
    assert torch.equal(optimizer.state[weight]["exp_avg"], weight)


def test_channels_behind_those_of_a_group_stay() -> None:
    supernet = supernet_of(Block, 6)
    reader = "project.one.shared.weight"
    weight = supernet.net.get_parameter(reader)
    before = weight.detach().clone()
    sort_channels(supernet, [ChannelGroup("expand.out_channels", ("expand",), 6, ((reader, 1),), (reader,))], {})
    assert torch.equal(weight[:, 6:], before[:, 6:]) and not torch.equal(weight[:, :6], before[:, :6])


IMAGE: dict[str, Any] = {"input_shape": (3, 32, 32), "n_classes": 10}


@pytest.mark.parametrize(
    ("space", "n_groups"),
    [
        # The inside of each block, the widths of the stem and of five stages, and two in the head.
        (MobileNetV3(**IMAGE, depths=(1, 2), channels=(8, 8, 16, 16, 24, 24), search_squeeze_excite=True), 10 + 6 + 2),
        # The inside of each block, and the widths of the stem and of four stages.
        (ResNet(**IMAGE, depths=((1, 2),) * 4, stem="cifar", channels=16), 8 + 5),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_sorting_keeps_the_widest_networks_of_published_spaces(space: ModelSpace, n_groups: int) -> None:
    torch.manual_seed(0)
    supernet = Supernet(space).double().eval()
    for name, buffer in supernet.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    widest, x = largest(supernet), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    groups, old = channel_groups(supernet), copy.deepcopy(supernet.net.state_dict())
    assert len(groups) == n_groups
    with torch.no_grad():
        before = supernet(x, widest)
        sort_channels(supernet, groups, {})
        torch.testing.assert_close(supernet(x, widest), before, rtol=1e-9, atol=1e-9 * float(before.abs().max()))
    moved = {name for group in groups for name, _ in group.slots}
    changed = {name for name, tensor in supernet.net.state_dict().items() if not torch.equal(tensor, old[name])}
    assert changed <= moved and {name for name in moved if "running" in name} <= changed
