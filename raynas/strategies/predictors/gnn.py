"""A graph neural network predicts from the graph of operations.

Wen et al., "Neural Predictor for Neural Architecture Search" (ECCV 2020, arXiv:1912.00848): convolutions along the
edges and against them, the mean over all nodes, a hidden layer. The loss on pairs is after Dudziak et al., "BRP-NAS"
(NeurIPS 2020, arXiv:2007.08668). Deviations: an ensemble without dropout tells how sure it is; it is trained further,
not anew, when observations are added; a pair is judged by the difference of two scores (Burges et al., "RankNet", ICML
2005), which is one order, where BRP-NAS asks for each pair; a small space is ranked as a whole.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from raynas.core.goal import Goal
from raynas.core.operation_graph import OperationGraph
from raynas.core.space import SearchSpace
from raynas.strategies.base import require_at_least
from raynas.strategies.predictors.ensemble_predictor import Ensemble
from raynas.strategies.predictors.predictor_search import Pool, Predictor, PredictorSearcher
from raynas.strategies.predictors.predictor_strategy import PredictorStrategy
from raynas.threads import limited_threads

Array = NDArray[np.float64]

_CHUNK = 128
"""How many graphs are predicted at once, little enough for the caches of a processor."""


@dataclass(frozen=True, kw_only=True)
class GraphNetwork(PredictorStrategy):
    """An ensemble of graph neural networks predicts every candidate; for some hundred trials and more.

    It sees ``SearchSpace.operation_graph``: for a space without a graph of its own, a chain of its decisions.

    With ``renewal=math.inf`` it is used as Wen et al. do: trained once on ``n_initial`` architectures, their T, then
    the candidates (``n_candidates``, their N, or the whole space) are evaluated from the best on.

    Args:
        loss: "regression" (squared error) or "ranking" (of pairs).
        renewal: the networks are trained further when observations have grown by this factor; at least 1.
        n_networks: in the ensemble; at least 2.
        depth: graph convolutions; at least 1.
        width: numbers per node; at least 1.
        n_steps: of the first training; at least 1.
        n_more_steps: of each training after it; at least 1.
        batch_size: architectures per step; at least 2.
        learning_rate: of Adam, at the beginning of each training, from where it falls to 0 along a cosine; positive.
        weight_decay: of the networks' weights, decoupled from the step; at least 0.
    """

    acquisition: Literal["ucb", "ei", "thompson"] = "ucb"
    exploration: float = 2.0
    loss: Literal["regression", "ranking"] = "regression"
    renewal: float = 1.1
    n_networks: int = 5
    depth: int = 3
    width: int = 32
    n_steps: int = 200
    n_more_steps: int = 80
    batch_size: int = 32
    learning_rate: float = 0.005
    weight_decay: float = 0.001

    sees_features: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"n_networks": 2, "depth": 1, "width": 1, "n_steps": 1, "n_more_steps": 1})
        require_at_least(self, {"batch_size": 2, "renewal": 1, "weight_decay": 0})
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {self.loss!r}")

    def make_predictor(self) -> Predictor:
        return GraphNetworkPredictor(self)

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> PredictorSearcher:
        return super().make_searcher(space, goal, renewal=self.renewal, **common)


@dataclass(frozen=True)
class Graphs:
    """Graphs of operations as tensors, the small ones filled up to the size of the largest.

    Args:
        labels: the number of each node's label, ``(n, n_nodes)``; 0 where there is no node.
        forward: with which weight each node (row) takes the output of each (column), its own too, ``(n, n_nodes,
            n_nodes)``; a row sums to 1.
        backward: the same against the edges.
        shares: 1 / the number of nodes, 0 where there is no node, ``(n, n_nodes)``.
    """

    labels: Tensor
    forward: Tensor
    backward: Tensor
    shares: Tensor

    @classmethod
    def of(cls, graphs: Sequence[OperationGraph], numbers: Mapping[str, int]) -> "Graphs":
        """Labels as ``numbers`` says."""
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

    def __getitem__(self, which: Any) -> "Graphs":
        return Graphs(*(getattr(self, field.name)[which] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.labels)


class GraphEnsemble:
    """Several graph neural networks that are computed side by side; none of them has seen another.

    Args:
        n_networks: how many.
        n_labels: of nodes.
        width: numbers per node.
        depth: how many graph convolutions.
        generator: of the first weights.
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
        """A score per network and graph, ``(n_networks, n)``."""
        x = self.labels[graphs.labels]
        for i, (along, against) in enumerate(self.layers):
            ahead = _convolved(graphs.forward, x, along, self.biases[2 * i])
            back = _convolved(graphs.backward, x, against, self.biases[2 * i + 1])
            x = 0.5 * (ahead + back)
        mean = torch.einsum("bn,bnmw->mbw", graphs.shares, x)
        hidden = torch.baddbmm(self.biases[-1], mean, self.hidden).relu()
        return torch.baddbmm(self.constant, hidden, self.last)[..., 0]

    @property
    def weights(self) -> list[Tensor]:
        """All that is learned."""
        return [
            self.labels,
            *(w for pair in self.layers for w in pair),
            self.hidden,
            self.last,
            *self.biases,
            self.constant,
        ]

    def grow(self, n_labels: int) -> None:
        """Make room for labels that no graph had so far; they say nothing yet."""
        new = self.labels.new_zeros(n_labels - len(self.labels), *self.labels.shape[1:])
        self.labels = torch.cat((self.labels, new))


def _convolved(takes: Tensor, x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """What each node makes of the mean of its neighbours' ``x``, ``(n, n_nodes, n_networks, width)``."""
    n, n_nodes, n_networks, width = x.shape
    mixed = (takes @ x.flatten(2)).view(n * n_nodes, n_networks, width)
    out = torch.baddbmm(bias, mixed.transpose(0, 1), weights).relu()
    return out.transpose(0, 1).reshape(n, n_nodes, n_networks, -1)


def squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean over graphs, sum over networks; scores ``(n_networks, n)``, targets ``(n,)``."""
    return (scores - targets).square().mean(1).sum()


def pair_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """How improbable the order of the targets is, if differences of scores are log odds; mean over pairs."""
    better = targets[:, None] > targets
    differences = scores[:, :, None] - scores[:, None]
    return (softplus(-differences) * better).sum((1, 2)).sum() / better.sum().clamp(min=1)


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"ranking": pair_loss, "regression": squared_error}
"""What the networks are trained for."""


class GraphNetworkPredictor(Ensemble):
    """The ensemble; mean and standard deviation over its networks are what it believes.

    What was observed since the last training does not change it, so a proposal between two costs next to nothing.
    """

    def __init__(self, settings: GraphNetwork) -> None:
        super().__init__()
        self.settings = settings
        self._ensemble: GraphEnsemble | None = None
        self._numbers: dict[str, int] = {}
        self._pool: Pool | None = None
        self._graphs: Graphs | None = None
        self._predicted = np.zeros((0, 0))
        self._lines = np.zeros((0, 2))

    def fit(self, pool: Pool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        with limited_threads(1):
            if self._graphs is None or pool is not self._pool or len(pool) > len(self._graphs):
                self._pool, self._graphs = pool, self._numbered(pool, 0)
            n_steps = self.settings.n_more_steps if self._ensemble else self.settings.n_steps
            self._ensemble = self._ensemble or self._fresh(generator)
            self._ensemble.grow(len(self._numbers))
            self._train(self._graphs[observed], torch.from_numpy(targets).float(), n_steps, generator)
            scores = self._scores(self._graphs)
        self._lines = _lines(scores[:, observed], targets, self.settings.loss)
        self._predicted, self._targets = self._in_units(scores), np.array(targets)

    def extend(self, pool: Pool, observed: Sequence[int]) -> None:
        assert self._ensemble is not None
        with limited_threads(1):
            new = self._numbered(pool, self._predicted.shape[1])
            self._ensemble.grow(len(self._numbers))
            self._predicted = np.hstack((self._predicted, self._in_units(self._scores(new))))

    def members(self, pool: Pool) -> Array:
        return self._predicted

    def _numbered(self, pool: Pool, start: int) -> Graphs:
        """The graphs of the pool from one on, all labels numbered."""
        graphs = [pool.space.operation_graph(arch) for arch in pool.archs[start:]]
        for graph in graphs:
            for label in graph.labels:
                self._numbers.setdefault(label, len(self._numbers))
        return Graphs.of(graphs, self._numbers)

    def _fresh(self, generator: torch.Generator) -> GraphEnsemble:
        s = self.settings
        return GraphEnsemble(s.n_networks, len(self._numbers), s.width, s.depth, generator)

    def _train(self, graphs: Graphs, targets: Tensor, n_steps: int, generator: torch.Generator) -> None:
        assert self._ensemble is not None
        s, weights = self.settings, self._ensemble.weights
        for weight in weights:
            weight.requires_grad_(True)
        adam = torch.optim.AdamW(weights, lr=s.learning_rate, weight_decay=s.weight_decay, fused=True)
        for step in range(n_steps):
            adam.param_groups[0]["lr"] = s.learning_rate * 0.5 * (1 + math.cos(math.pi * step / n_steps))
            batch = torch.randperm(len(targets), generator=generator)[: s.batch_size]
            adam.zero_grad()
            LOSSES[s.loss](self._ensemble(graphs[batch]), targets[batch]).backward()
            adam.step()
        for weight in weights:
            weight.requires_grad_(False).grad = None

    def _scores(self, graphs: Graphs) -> Array:
        """Of each network, ``(n_networks, n)``."""
        assert self._ensemble is not None
        parts = [self._ensemble(graphs[i : i + _CHUNK]).double().numpy() for i in range(0, len(graphs), _CHUNK)]
        return np.hstack(parts)

    def _in_units(self, scores: Array) -> Array:
        """In units of the targets."""
        return np.asarray(self._lines[:, :1] * scores + self._lines[:, 1:])


def _lines(scores: Array, targets: Array, loss: str) -> Array:
    """Slope and offset from the scores of each network to targets, ``(n_networks, 2)``; a regression gives targets."""
    return np.array([(1.0, 0.0) if loss == "regression" else _line(own, targets) for own in scores])


def _line(x: Array, y: Array) -> tuple[float, float]:
    """The line of least squares from x to y; it does not fall."""
    variance = float(x.var())
    slope = max(float(((x - x.mean()) * (y - y.mean())).mean()) / variance, 0.0) if variance > 0 else 1.0
    return slope, float(y.mean() - slope * x.mean())
