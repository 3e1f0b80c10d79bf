import math

import pytest
import torch

from raynas.core.operation_graph import OperationGraph
from raynas.regression.graph_network import GraphEnsemble, Graphs, _convolved, huber_error, pair_loss, squared_error

DIAMOND = OperationGraph(("in", "conv", "pool", "skip", "out"), ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)))


CHAIN = OperationGraph.chain(["in", "conv", "out"])


NUMBERS = {"out": 0, "in": 1, "conv": 2, "pool": 3, "skip": 4}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ensemble(n_networks: int = 3) -> GraphEnsemble:
    return GraphEnsemble(n_networks, n_labels=5, width=8, depth=3, generator=generator())


def test_graphs_as_tensors() -> None:
    """A node takes the mean of what enters it and of itself; the small graph is filled up with nodes that are not."""
    graphs = Graphs.of([DIAMOND, CHAIN], NUMBERS)
    assert graphs.labels.tolist() == [[1, 2, 3, 4, 0], [1, 2, 0, 0, 0]]
    assert graphs.forward[0, 4].tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    assert graphs.backward[0, 0].tolist() == [0.25, 0.25, 0.25, 0.25, 0]
    assert graphs.forward[1, 1].tolist() == [0.5, 0.5, 0, 0, 0]
    assert graphs.shares.sum(1).tolist() == pytest.approx([1, 1]) and graphs.shares[1, 3] == 0
    assert len(graphs) == 2 and graphs[1:].labels.tolist() == [[1, 2, 0, 0, 0]]


def test_a_convolution_by_hand() -> None:
    x = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)
    graphs = Graphs.of([CHAIN], NUMBERS)
    weights, bias = torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), -3.0)
    # Means with oneself: 1, 1.5, 3 along the edges and 1.5, 3, 4 against them; twice that, less 3, not below 0.
    assert _convolved(graphs.forward, x, weights, bias).flatten().tolist() == [0, 0, 3]
    assert _convolved(graphs.backward, x, weights, bias).flatten().tolist() == [0, 3, 5]


def test_the_order_of_nodes_does_not_matter() -> None:
    networks = ensemble()
    expected = networks(Graphs.of([DIAMOND], NUMBERS))
    turned = OperationGraph(("in", "skip", "conv", "pool", "out"), DIAMOND.edges)
    torch.testing.assert_close(networks(Graphs.of([turned], NUMBERS)), expected)
    other = OperationGraph(("in", "conv", "pool", "skip", "out"), (*DIAMOND.edges, (1, 2)))
    assert not torch.allclose(networks(Graphs.of([other], NUMBERS)), expected, rtol=1e-2)


def test_what_fills_up_does_not_matter() -> None:
    networks = ensemble()
    together = networks(Graphs.of([DIAMOND, CHAIN], NUMBERS))
    alone = [networks(Graphs.of([graph], NUMBERS)) for graph in (DIAMOND, CHAIN)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


def test_the_direction_of_edges_matters() -> None:
    networks, turned = ensemble(), OperationGraph.chain(["out", "conv", "in"])
    first, second = networks(Graphs.of([CHAIN, turned], NUMBERS)).T
    assert not torch.allclose(first, second, rtol=1e-2)


def test_networks_do_not_see_each_other() -> None:
    """A gradient of one network's score is 0 for the weights of the others."""
    networks = ensemble()
    for weight in networks.weights:
        weight.requires_grad_(True)
    networks(Graphs.of([DIAMOND], NUMBERS))[1].sum().backward()
    for weight in networks.weights:
        gradient = weight.grad if weight is not networks.labels else weight.grad.transpose(0, 1)  # type: ignore[union-attr]
        assert gradient is not None
        assert gradient[1].abs().sum() > 0 and gradient[0].abs().sum() == gradient[2].abs().sum() == 0


def test_new_labels_leave_the_others_as_they_are() -> None:
    networks = ensemble()
    before = networks(Graphs.of([DIAMOND], NUMBERS))
    networks.grow(7)
    assert len(networks.labels) == 7
    torch.testing.assert_close(networks(Graphs.of([DIAMOND], NUMBERS)), before)


def test_losses_by_hand() -> None:
    targets, scored = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([[2.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert squared_error(scored, targets).item() == pytest.approx((1 + 0 + 1) / 3)
    # Errors 1, 0, 1; beyond the threshold of 0.5 the size less half of it counts.
    assert huber_error(scored, targets, 0.5).item() == pytest.approx((0.75 + 0 + 0.75) / 3)
    # The first is better than the two others; between them there is no order.
    expected = [math.log1p(math.exp(-d)) for d in (2, 1, 1, 1)]
    assert pair_loss(scored, targets).item() == pytest.approx(sum(expected) / 2)
    assert pair_loss(scored, torch.zeros(3)).item() == 0
