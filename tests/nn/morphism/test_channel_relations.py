import torch
from torch import fx

from raynas.nn.morphism.channel_relations import ChannelRelations, n_copies


def test_tied_tensors_form_one_group() -> None:
    graph = fx.Graph()
    a, b, c, d = (graph.placeholder(name) for name in "abcd")
    relations = ChannelRelations({node: torch.Size((2, 5)) for node in (a, b, c, d)})
    relations.tie(a, b)
    relations.tie(c, b)
    assert relations.root(a) is relations.root(c) is relations.root(b) is not relations.root(d)
    relations.axis[a] = 1
    assert relations.n_channels(a) == 5


def test_copies_are_counted() -> None:
    assert n_copies(torch.tensor([0, 1, 0, 2, 0])).tolist() == [3, 1, 3, 1, 3]
