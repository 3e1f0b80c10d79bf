"""Graph neural networks on graphs of operations, several side by side.

Wen et al., "Neural Predictor for Neural Architecture Search" (ECCV 2020, arXiv:1912.00848): convolutions along the
edges and against them, the mean over all nodes, a hidden layer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import huber_loss, softplus

from raynas.core.operation_graph import OperationGraph

_CHUNK = 128
"""Number of graphs predicted at once, small enough for the caches of a processor."""


@dataclass(frozen=True)
class Graphs:
    """Graphs of operations as tensors, the small ones padded to the size of the largest.

    Args:
        labels: index of each node's label, ``(n, n_nodes)``; 0 for padding.
        forward: weights with which each node (row) takes the outputs of the nodes before it and its own (columns),
            ``(n, n_nodes, n_nodes)``; a row sums to 1.
        backward: the same against the edges.
        shares: 1 / the number of nodes, 0 for padding, ``(n, n_nodes)``.
    """

    labels: Tensor
    forward: Tensor
    backward: Tensor
    shares: Tensor

    @classmethod
    def of(cls, graphs: Sequence[OperationGraph], numbers: Mapping[str, int]) -> "Graphs":
        """Convert graphs; ``numbers`` maps labels to indices."""
        sizes = np.array([len(graph) for graph in graphs])
        exists = np.arange(sizes.max()) < sizes[:, None]
        labels = np.zeros(exists.shape, dtype=np.int64)
        labels[exists] = [numbers[label] for graph in graphs for label in graph.labels]
        takes = np.tile(np.eye(sizes.max(), dtype=np.float32), (len(graphs), 1, 1))
        for i, graph in enumerate(graphs):
            if graph.edges:
                sources, targets = zip(*graph.edges, strict=True)
                takes[i, targets, sources] = 1
        forward, backward = (torch.from_numpy(a / a.sum(2, keepdims=True)) for a in (takes, takes.transpose(0, 2, 1)))
        shares = torch.from_numpy((exists / sizes[:, None]).astype(np.float32))
        return cls(torch.from_numpy(labels), forward, backward, shares)

    def __getitem__(self, which: slice | Tensor | Sequence[int]) -> "Graphs":
        return Graphs(*(getattr(self, field.name)[which] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.labels)


class GraphEnsemble:
    """Independent graph neural networks of one shape, computed together.

    Args:
        n_networks: number of networks.
        n_labels: number of labels of nodes.
        width: numbers per node.
        depth: number of graph convolutions.
        generator: source of the initial weights (He et al., 2015).
    """

    def __init__(self, n_networks: int, n_labels: int, width: int, depth: int, generator: torch.Generator) -> None:
        def weights(n_in: int, n_out: int) -> Tensor:
            return torch.randn(n_networks, n_in, n_out, generator=generator) * math.sqrt(2 / n_in)

        self.labels = torch.randn(n_labels, n_networks, width, generator=generator)
        self.layers = [(weights(width, width), weights(width, width)) for _ in range(depth)]
        self.hidden, self.last = weights(width, width), weights(width, 1)
        self.biases = [torch.zeros(n_networks, 1, width) for _ in range(2 * depth + 1)]
        self.constant = torch.zeros(n_networks, 1, 1)

    def __call__(self, graphs: Graphs) -> Tensor:
        """Compute a score per network and graph, ``(n_networks, n)``."""
        return self.score(self.labels[graphs.labels], graphs)

    def score(self, x: Tensor, graphs: Graphs, beside: Tensor | float = 0.0) -> Tensor:
        """Compute scores from embeddings of the nodes.

        Args:
            x: ``(n, n_nodes, n_networks, width)``.
            graphs: n graphs.
            beside: added to what each graph's nodes give together, ``(n_networks, n, width)``.
        """
        for i, (along, against) in enumerate(self.layers):
            ahead = _convolved(graphs.forward, x, along, self.biases[2 * i])
            back = _convolved(graphs.backward, x, against, self.biases[2 * i + 1])
            x = 0.5 * (ahead + back)
        mean = torch.einsum("bn,bnmw->mbw", graphs.shares, x)
        hidden = torch.baddbmm(self.biases[-1], mean + beside, self.hidden).relu()
        return torch.baddbmm(self.constant, hidden, self.last)[..., 0]

    def scores(self, graphs: Graphs) -> NDArray[np.float64]:
        """Return the scores of each network without gradients, ``(n_networks, n)``."""
        parts = [self(graphs[i : i + _CHUNK]).detach().double().numpy() for i in range(0, len(graphs), _CHUNK)]
        return np.hstack(parts)

    @property
    def weights(self) -> list[Tensor]:
        """All trainable tensors."""
        pairs = [weight for pair in self.layers for weight in pair]
        return [self.labels, *pairs, self.hidden, self.last, *self.biases, self.constant]

    def grow(self, n_labels: int) -> None:
        """Add embeddings of zeros for labels that no graph had so far."""
        new = self.labels.new_zeros(n_labels - len(self.labels), *self.labels.shape[1:])
        self.labels = torch.cat((self.labels, new))


def _convolved(takes: Tensor, x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Map the mean of each node's neighbours, itself included; x and result ``(n, n_nodes, n_networks, width)``."""
    n, n_nodes, n_networks, width = x.shape
    mixed = (takes @ x.flatten(2)).view(n * n_nodes, n_networks, width)
    out = torch.baddbmm(bias, mixed.transpose(0, 1), weights).relu()
    return out.transpose(0, 1).reshape(n, n_nodes, n_networks, -1)


def squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over graphs, summed over networks; scores ``(n_networks, n)``, targets ``(n,)``."""
    return (scores - targets).square().mean(1).sum()


def huber_error(scores: Tensor, targets: Tensor, threshold: float) -> Tensor:
    """Return the loss of Huber (1964) over its threshold: squares of small errors, the sizes of large ones.

    The mean over graphs, summed over networks.

    Args:
        scores: ``(n_networks, n)``.
        targets: ``(n,)``.
        threshold: error from which on its size counts, positive.
    """
    return huber_loss(scores, targets.expand_as(scores), delta=threshold) * (len(scores) / threshold)


def pair_loss(scores: Tensor, targets: Tensor, tasks: Tensor | None = None) -> Tensor:
    """Return the negative log likelihood of the targets' order, where differences of scores are log odds.

    The mean over pairs, summed over networks (Burges et al., "RankNet", ICML 2005).

    Args:
        scores: ``(n_networks, n)``.
        targets: ``(n,)``.
        tasks: index of the task of each, ``(n,)``; only pairs of one task count. None if there is a single task.
    """
    better = targets[:, None] > targets
    if tasks is not None:
        better &= tasks[:, None] == tasks
    differences = scores[:, :, None] - scores[:, None]
    return (softplus(-differences) * better).sum((1, 2)).sum() / better.sum().clamp(min=1)


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"ranking": pair_loss, "regression": squared_error}
"""Losses of scores ``(n_networks, n)`` and targets ``(n,)``."""


def lines(scores: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit slope and offset from the scores of each network to targets by least squares, ``(n_networks, 2)``.

    Slopes are not negative.

    Args:
        scores: ``(n_networks, n)``.
        targets: ``(n,)``.
    """
    return np.array([_line(own, targets) for own in scores])


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    variance = float(x.var())
    slope = max(float(((x - x.mean()) * (y - y.mean())).mean()) / variance, 0.0) if variance > 0 else 1.0
    return slope, float(y.mean() - slope * x.mean())


def train(
    weights: Sequence[Tensor],
    loss_of: Callable[[Tensor], Tensor],
    *,
    n: int,
    n_steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    generator: torch.Generator,
) -> None:
    """Train tensors by Adam with decoupled weight decay; the rate falls to 0 along a cosine.

    Args:
        weights: trained in place.
        loss_of: gives the loss of a batch, from the indices of its examples.
        n: number of examples; a batch has each at most once.
        n_steps: gradient steps.
        batch_size: examples per step.
        learning_rate: the first rate.
        weight_decay: of all weights.
        generator: draws the batches.
    """
    for weight in weights:
        weight.requires_grad_(True)
    adam = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=weight_decay, fused=True)
    for step in range(n_steps):
        adam.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / n_steps))
        batch = torch.randperm(n, generator=generator)[:batch_size]
        adam.zero_grad()
        loss_of(batch).backward()
        adam.step()
    for weight in weights:
        weight.requires_grad_(False).grad = None
