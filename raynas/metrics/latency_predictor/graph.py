"""A graph network over the operations of a network, as in BRP-NAS.

Dudziak et al., "BRP-NAS: Prediction-based NAS using GCNs" (NeurIPS 2020, arXiv:2007.08668), section 3.1. Deviations:
the network of ``raynas.regression.graph_network``, smaller and with convolutions both along the edges and against them;
an ensemble of three; the sum over nodes instead of a global node, since the latencies of operations add up; Huber's
loss of logarithms instead of squares, since some measurements are disturbed by far more than the rest.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from raynas.core.operation_graph import OperationGraph
from raynas.errors import ContentError
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.error import TOLERANCE
from raynas.metrics.latency_predictor.model import DeviceModel, LogScale, Tensors, take
from raynas.regression.graph_network import GraphEnsemble, Graphs, huber_error, train
from raynas.threads import limited_threads

Array = NDArray[np.float64]

N_NETWORKS, WIDTH, DEPTH = 3, 32, 4
N_STEPS, BATCH_SIZE, RATE, DECAY = 1500, 32, 0.004, 1e-3


class GraphModel(DeviceModel):
    """The mean of the ensemble.

    Args:
        ensemble: the networks.
        labels: operations by index.
        unit: number of nodes that a sum over nodes is divided by.
        scale: of the targets.
    """

    def __init__(self, ensemble: GraphEnsemble, labels: Sequence[str], unit: float, scale: LogScale) -> None:
        self.ensemble, self.labels, self.unit, self.scale = ensemble, tuple(labels), unit, scale

    @classmethod
    def fit(cls, networks: Described, ms: Array, rng: np.random.Generator) -> "GraphModel":
        labels = sorted({label for graph in networks.graphs for label in graph.labels})
        unit = float(np.mean([len(graph) for graph in networks.graphs]))
        scale, generator = LogScale.of(ms), torch.Generator().manual_seed(int(rng.integers(2**62)))
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():  # the caller may have disabled them
            graphs = summed(networks.graphs, labels, unit)
            targets = torch.from_numpy(scale.targets(ms)).float()
            threshold = TOLERANCE / scale.spread  # an error that counts as wrong counts by its size, not its square
            ensemble = GraphEnsemble(N_NETWORKS, len(labels) + 1, WIDTH, DEPTH, generator)
            train(
                ensemble.weights,
                lambda batch: huber_error(ensemble(graphs[batch]), targets[batch], threshold),
                n=len(ms),
                n_steps=N_STEPS,
                batch_size=BATCH_SIZE,
                learning_rate=RATE,
                weight_decay=DECAY,
                generator=generator,
            )
        return cls(ensemble, labels, unit, scale)

    def predict(self, networks: Described) -> Array:
        with limited_threads(1), torch.inference_mode():
            scores = self.ensemble.scores(summed(networks.graphs, self.labels, self.unit))
        return self.scale.ms(scores.mean(axis=0))

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        weights = {f"weight.{i}": weight.numpy() for i, weight in enumerate(self.ensemble.weights)}
        return {**weights, "unit": np.array([self.unit]), "scale": self.scale.tensor()}

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "GraphModel":
        ensemble = GraphEnsemble(N_NETWORKS, len(labels) + 1, WIDTH, DEPTH, torch.Generator())
        fill(ensemble.weights, tensors, "weight")
        return cls(ensemble, labels, unit_of(tensors), LogScale.restored(tensors))


def summed(graphs: Sequence[OperationGraph], labels: Sequence[str], unit: float) -> Graphs:
    """Convert graphs such that networks sum over nodes; index 0 is for labels that are not known."""
    numbers = {label: i for i, label in enumerate(labels, 1)}
    unknown = {label: 0 for graph in graphs for label in graph.labels}
    found = Graphs.of(graphs, unknown | numbers)
    return replace(found, shares=(found.shares > 0) / unit)


def fill(weights: Sequence[torch.Tensor], tensors: Tensors, name: str) -> None:
    """Copy tensors "name.0", "name.1" and so on into weights.

    Raises:
        ContentError: if one is missing or of another shape.
    """
    for i, weight in enumerate(weights):
        weight.copy_(torch.from_numpy(take(tensors, f"{name}.{i}", tuple(weight.shape))))


def unit_of(tensors: Tensors) -> float:
    """Return the number of nodes that sums are divided by.

    Raises:
        ContentError: if it is not positive.
    """
    unit = float(take(tensors, "unit", (1,))[0])
    if unit <= 0:
        raise ContentError("the unit of sums over nodes is not positive")
    return unit
