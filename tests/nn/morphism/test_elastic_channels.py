import torch

from raynas.nn.morphism.elastic_channels import channel_groups
from tests.nn.morphism.supernets import Block, Unsafe, supernet_of


def test_the_channels_inside_a_bottleneck() -> None:
    supernet = supernet_of(Block, 6)
    state = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    followers = ("norm", "depthwise", "attention.se", "project.one", "project.two")
    (group,) = channel_groups(supernet)
    assert (group.decision, group.producers, group.n_channels) == ("expand.out_channels", ("expand",), 8)
    assert set(group.consumers) == set(followers)
    assert all(torch.equal(tensor, state[name]) for name, tensor in supernet.state_dict().items())


def test_what_is_not_safe_is_left_out() -> None:
    assert channel_groups(supernet_of(Unsafe)) == []
