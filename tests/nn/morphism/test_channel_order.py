import copy

import torch
from torch import Tensor, nn

from raynas.nn import (
    Choice,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticSqueezeExcite,
    ModelSpace,
    Repeat,
    Size,
    Supernet,
)
from raynas.nn.morphism.channel_order import ChannelGroup, channel_groups, sort_channels

WIDTH = (4, 6, 8)


class Block(nn.Module):
    """An inverted bottleneck: its inner channels are free."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = ElasticConv2d(6, Size(WIDTH), bias=True)
        self.norm = ElasticBatchNorm2d(8)
        self.depthwise = ElasticConv2d(8, None, Size((3, 5)), group_width=1, bias=True)
        self.attention = Choice({"se": lambda: ElasticSqueezeExcite(8, divisor=2), "plain": nn.Identity})
        self.project = Choice({"one": lambda: ElasticConv2d(8, 6), "two": lambda: ElasticConv2d(8, 6, 3)})

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm(self.expand(x)))
        total: Tensor = x + self.project(self.attention(self.depthwise(out)))
        return total


class Residual(nn.Module):
    """A stem and blocks whose outputs are added: their channels go together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ElasticConv2d(2, Size(WIDTH, label="stage"))
        self.blocks = Repeat(lambda i: ElasticConv2d(8, Size(WIDTH, label="stage"), 3), 1, 2)
        self.head = ElasticLinear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.blocks(x).tanh()
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Unsafe(nn.Module):
    """Widths whose channels cannot change places, each for a reason of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = ElasticConv2d(2, Size(WIDTH, label="grouped"))
        self.pairs = ElasticConv2d(8, None, 1, group_width=2)
        self.after = ElasticConv2d(8, 2)
        self.joined = ElasticConv2d(2, Size(WIDTH, label="joined"))
        self.reader = ElasticConv2d(10, 2)
        self.weighed = ElasticConv2d(2, Size(WIDTH, label="weighed"))
        self.last = ElasticConv2d(8, 2)
        self.out = ElasticConv2d(2, Size(WIDTH, label="out"))

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(self.pairs(self.grouped(x)))
        x = self.reader(torch.cat([x, self.joined(x)], dim=1))
        wide = self.weighed(x)
        x = self.last(wide * torch.arange(1.0, wide.shape[1] + 1, device=x.device).to(x.dtype).view(1, -1, 1, 1))
        out: Tensor = self.out(x).mean((2, 3))
        return out


def supernet_of(model: type[nn.Module], channels: int = 2) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(ModelSpace(model, input_shape=(channels, 5, 5))).eval()
    for tensor in (*supernet.parameters(), *(b for b in supernet.buffers() if b.is_floating_point())):
        tensor.data = torch.rand_like(tensor) + 0.5
    for parameter in supernet.parameters():
        parameter.data -= torch.rand_like(parameter) * 2
    return supernet


def images(channels: int) -> Tensor:
    return torch.randn(3, channels, 5, 5, generator=torch.Generator().manual_seed(1))


def test_the_channels_inside_a_bottleneck() -> None:
    supernet = supernet_of(Block, 6)
    state = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    followers = ("norm", "depthwise", "attention.se", "project.one", "project.two")
    (group,) = channel_groups(supernet)
    assert (group.decision, group.producers, group.n_channels) == ("expand.out_channels", ("expand",), 8)
    assert set(group.followers) == set(followers)
    assert all(torch.equal(tensor, state[name]) for name, tensor in supernet.state_dict().items())


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
    assert set(group.followers) == {"blocks.0", "blocks.1", "head"}
    with torch.no_grad():
        before = [supernet(images(2), {"stage": 8, "blocks": depth}) for depth in (1, 2)]
        old = copy.deepcopy(supernet.state_dict())
        sort_channels(supernet, [group], {})
        after = [supernet(images(2), {"stage": 8, "blocks": depth}) for depth in (1, 2)]
    assert any(not torch.equal(old[name], tensor) for name, tensor in supernet.state_dict().items())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_what_is_not_safe_is_left_out() -> None:
    assert channel_groups(supernet_of(Unsafe)) == []


def test_the_optimizer_remembers_in_the_same_order() -> None:
    supernet = supernet_of(Block, 6)
    optimizer = torch.optim.Adam(supernet.parameters())
    supernet(images(6), next(supernet.space.showcase(1))).sum().backward()
    optimizer.step()
    group = ChannelGroup("expand.out_channels", ("expand",), ("project.one",), 8)
    weight = supernet.get_parameter("net.expand.shared.weight")
    optimizer.state[weight]["exp_avg"].copy_(weight.detach())
    before = weight.detach().clone()
    sort_channels(supernet, [group], {}, optimizer)
    assert not torch.equal(before, weight)
    assert torch.equal(optimizer.state[weight]["exp_avg"], weight)
