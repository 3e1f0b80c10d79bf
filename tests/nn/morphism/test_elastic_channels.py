from functools import partial

import torch
from torch import Tensor, nn

from raynas.nn import Choice, ElasticConv2d, ElasticLinear, Size
from raynas.nn.morphism.elastic_channels import channel_groups
from tests.nn.morphism.supernets import WIDTH, Block, Residual, Unsafe, supernet_of


def test_the_channels_inside_a_bottleneck() -> None:
    supernet = supernet_of(Block, 6)
    state = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    (group,) = channel_groups(supernet)
    assert (group.decision, group.producers, group.n_channels) == ("expand.out_channels", ("expand",), 8)
    assert group.readers == ("project.one.shared.weight", "project.two.shared.weight")
    assert set(group.slots) == {
        *(("expand.shared.weight", 0), ("expand.shared.bias", 0)),
        *((f"norm.shared.{name}", 0) for name in ("weight", "bias", "running_mean", "running_var")),
        *(("depthwise.shared.weight", 0), ("depthwise.shared.bias", 0)),
        *(("attention.se.shared.squeeze.weight", 1), ("attention.se.shared.excite.weight", 0)),
        *(("attention.se.shared.excite.bias", 0), ("project.one.shared.weight", 1), ("project.two.shared.weight", 1)),
    }
    assert all(torch.equal(tensor, state[name]) for name, tensor in supernet.state_dict().items())


def test_channels_that_are_added_are_one_group() -> None:
    (group,) = channel_groups(supernet_of(Residual))
    assert group.producers == ("stem", "blocks.0", "blocks.1")
    assert group.readers == ("blocks.0.shared.weight", "blocks.1.shared.weight", "head.shared.weight")


def test_what_is_not_safe_is_left_out() -> None:
    assert channel_groups(supernet_of(Unsafe)) == []


def wide(label: str) -> nn.Module:
    return ElasticConv2d(2, Size(WIDTH, label=label))


class Pairs(nn.Module):
    """Two choices whose options meet in four ways."""

    def __init__(self) -> None:
        super().__init__()
        self.before = Choice({n: partial(wide, n) for n in ("a", "b")})
        self.after = Choice({f"k{k}": partial(ElasticConv2d, 8, 3, k) for k in (1, 3)})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(self.before(x)).mean((2, 3))
        return out


def test_options_of_a_choice_have_the_same_channels_though_not_each_pair_of_options_is_tried() -> None:
    """Two decisions number these channels: the order of one cannot change without that of the other."""
    assert channel_groups(supernet_of(Pairs)) == []


class Narrower(nn.Module):
    """A layer whose outputs are the first inputs of one that could read more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ElasticConv2d(2, Size((4, 6))), ElasticConv2d(8, Size(WIDTH))
        self.head = ElasticLinear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.second(self.first(x)).mean((2, 3)))
        return out


def test_readers_may_have_weights_for_more_channels() -> None:
    first, second = channel_groups(supernet_of(Narrower))
    assert (first.n_channels, first.slots) == (6, (("first.shared.weight", 0), ("second.shared.weight", 1)))
    assert (second.n_channels, second.readers) == (8, ("head.shared.weight",))
