"""A graph neural network predicts from the graph of operations.

Wen et al., "Neural Predictor for Neural Architecture Search" (ECCV 2020, arXiv:1912.00848). The loss on pairs is after
Dudziak et al., "BRP-NAS" (NeurIPS 2020, arXiv:2007.08668). Deviations: an ensemble without dropout gives the
uncertainty; its training continues when observations are added, instead of starting from scratch; a pair is judged by
the difference of two scores (Burges et al., "RankNet", ICML 2005), which is one order, where BRP-NAS asks for each
pair; a small space is ranked as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.errors import SettingError
from raynas.regression.graph_network import LOSSES, GraphEnsemble, Graphs, lines, train
from raynas.strategies.base import require_at_least
from raynas.strategies.predictors.acquisition import Acquisition
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.ensemble import Ensemble
from raynas.strategies.predictors.predictor import Predictor
from raynas.threads import limited_threads

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GraphNetwork(PredictorStrategy):
    """Predict every candidate by an ensemble of graph neural networks; for some hundred trials and more.

    The input is ``SearchSpace.operation_graph``; for a space without graphs, a chain of its decisions.

    ``renewal=math.inf`` is the protocol of Wen et al.: train once on ``n_initial`` architectures, their T, then
    evaluate the candidates (``n_candidates``, their N, or the whole space), the best first.

    Args:
        loss: "regression" (squared error) or "ranking" (of pairs).
        n_networks: in the ensemble; at least 2.
        depth: graph convolutions; at least 1.
        width: numbers per node; at least 1.
        n_steps: gradient steps of the first training; at least 1.
        n_more_steps: gradient steps of each training after it; at least 1.
        batch_size: architectures per step; at least 2.
        learning_rate: of Adam, at the beginning of each training; it falls to 0 along a cosine; positive.
        weight_decay: of the networks' weights, decoupled from the step; at least 0.
    """

    acquisition: Acquisition = "ucb"
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
        require_at_least(self, {"batch_size": 2, "weight_decay": 0})
        if not self.learning_rate > 0:
            raise SettingError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.loss not in LOSSES:
            raise SettingError(f"loss must be one of {', '.join(LOSSES)}, got {self.loss!r}")

    def make_predictor(self) -> Predictor:
        return GraphNetworkPredictor(self)


class GraphNetworkPredictor(Ensemble):
    """The ensemble; its posterior is the mean and standard deviation over the networks.

    Observations since the last training do not change it, so a proposal between two trainings costs next to nothing.
    """

    def __init__(self, settings: GraphNetwork) -> None:
        super().__init__()
        self.settings = settings
        self._ensemble: GraphEnsemble | None = None
        self._numbers: dict[str, int] = {}
        self._pool: CandidatePool | None = None
        self._graphs: Graphs | None = None
        self._predicted = np.zeros((0, 0))
        self._lines = np.zeros((0, 2))

    def fit(self, pool: CandidatePool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        with limited_threads(1):
            if self._graphs is None or pool is not self._pool or len(pool) > len(self._graphs):
                self._pool, self._graphs = pool, self._numbered(pool, 0)
            n_steps = self.settings.n_more_steps if self._ensemble else self.settings.n_steps
            self._ensemble = self._ensemble or self._fresh(generator)
            self._ensemble.grow(len(self._numbers))
            self._train(self._graphs[observed], torch.from_numpy(targets).float(), n_steps, generator)
            scores = self._ensemble.scores(self._graphs)
        self._lines = _lines(scores[:, observed], targets, self.settings.loss)
        self._predicted, self._targets = self._in_units(scores), np.array(targets)

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        assert self._ensemble is not None
        with limited_threads(1):
            new = self._numbered(pool, self._predicted.shape[1])
            self._ensemble.grow(len(self._numbers))
            self._predicted = np.hstack((self._predicted, self._in_units(self._ensemble.scores(new))))

    def members(self, pool: CandidatePool) -> Array:
        return self._predicted

    def _numbered(self, pool: CandidatePool, start: int) -> Graphs:
        """Convert the graphs of the pool from index ``start``; number new labels."""
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
        s, ensemble = self.settings, self._ensemble
        train(
            ensemble.weights,
            lambda batch: LOSSES[s.loss](ensemble(graphs[batch]), targets[batch]),
            n=len(targets),
            n_steps=n_steps,
            batch_size=s.batch_size,
            learning_rate=s.learning_rate,
            weight_decay=s.weight_decay,
            generator=generator,
        )

    def _in_units(self, scores: Array) -> Array:
        """Convert scores of each network to units of the targets."""
        return np.asarray(self._lines[:, :1] * scores + self._lines[:, 1:])


def _lines(scores: Array, targets: Array, loss: str) -> Array:
    """Return slope and offset from scores to targets, ``(n_networks, 2)``; a regression's scores are targets."""
    return np.tile([1.0, 0.0], (len(scores), 1)) if loss == "regression" else lines(scores, targets)
