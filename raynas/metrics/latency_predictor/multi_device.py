"""A graph network for many devices: trained on the order of latencies on all known ones, adapted to a new one.

Akhauri and Abdelfattah, "On Latency Predictors for Neural Architecture Search" (MLSys 2024, arXiv:2403.02446,
"NASFLAT"): each device has an embedding that is joined with that of every operation; encodings of the network are
supplementary inputs; a new device begins with the embedding of the known one that is the most alike. Deviations: the
convolutions of ``raynas.regression.graph_network`` instead of gated ones with attention; features of the space as
encodings; a loss on pairs after RankNet instead of a hinge; the most alike is the device with the least loss instead of
the highest rank correlation, which several may have; a line from scores to latencies, since the paper predicts ranks
alone.
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.columns import Columns
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.graph import fill, summed, unit_of
from raynas.metrics.latency_predictor.model import LatencyModel, Scale, Tensors, take
from raynas.metrics.latency_predictor.transfer import Archive, Transfer, require_devices
from raynas.regression.graph_network import GraphEnsemble, Graphs, lines, pair_loss, train
from raynas.threads import limited_threads

Array = NDArray[np.float64]

N_NETWORKS, WIDTH, DEPTH = 3, 32, 3
N_STEPS, BATCH_SIZE, RATE, DECAY = 2000, 128, 0.004, 1e-3
N_ADAPTING_STEPS, ADAPTING_RATE = 50, 0.001

_CHUNK = 256
"""Number of networks predicted at once."""


class DeviceEnsemble:
    """Graph networks whose operations are embedded by device.

    Args:
        n_labels: number of operations.
        n_devices: number of devices.
        n_features: number of supplementary inputs.
        generator: source of the initial weights.
    """

    def __init__(self, n_labels: int, n_devices: int, n_features: int, generator: torch.Generator) -> None:
        self.graph = GraphEnsemble(N_NETWORKS, n_labels, WIDTH, DEPTH, generator)
        self.joint = torch.randn(N_NETWORKS, WIDTH, WIDTH, generator=generator) * (2 / WIDTH) ** 0.5
        self.devices = torch.randn(n_devices, N_NETWORKS, WIDTH, generator=generator)
        self.beside = torch.randn(N_NETWORKS, n_features, WIDTH, generator=generator) * (1 / n_features) ** 0.5

    @property
    def weights(self) -> list[Tensor]:
        """All trainable tensors."""
        return [*self.graph.weights, self.joint, self.devices, self.beside]

    def __call__(self, graphs: Graphs, features: Tensor, devices: Tensor) -> Tensor:
        """Return scores, ``(n_networks, n)``, for a device of each graph, ``(n,)``."""
        operations = torch.einsum("lmw,mwv->lmv", self.graph.labels, self.joint)[graphs.labels]
        x = (operations + self.devices[devices][:, None]).relu()
        return self.graph.score(x, graphs, torch.einsum("nf,mfw->mnw", features, self.beside))

    def scores(self, graphs: Graphs, features: Tensor, device: int) -> Array:
        """Return the scores on one device without gradients, ``(n_networks, n)``."""
        parts = []
        for i in range(0, len(graphs), _CHUNK):
            part = features[i : i + _CHUNK]
            parts.append(self(graphs[i : i + _CHUNK], part, torch.full((len(part),), device)).detach().double())
        return torch.cat(parts, dim=1).numpy()


class EmbeddedModel(LatencyModel):
    """The networks with the embedding of one device.

    Args:
        ensemble: of that device alone.
        labels: operations by index.
        unit: number of nodes that a sum over nodes is divided by.
        columns: of the supplementary inputs.
        slopes: from the scores of each network to targets, and offset, ``(n_networks, 2)``.
        scale: of the targets.
    """

    def __init__(
        self,
        ensemble: DeviceEnsemble,
        labels: Sequence[str],
        unit: float,
        columns: Columns,
        slopes: Array,
        scale: Scale,
    ) -> None:
        self.ensemble, self.labels, self.unit = ensemble, tuple(labels), unit
        self.columns, self.slopes, self.scale = columns, slopes, scale

    def predict(self, networks: Described) -> Array:
        with limited_threads(1), torch.inference_mode():
            graphs = summed(networks.graphs, self.labels, self.unit)
            scores = self.ensemble.scores(graphs, self.columns(networks), 0)
        return self.scale.ms((self.slopes[:, :1] * scores + self.slopes[:, 1:]).mean(axis=0))

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        return {
            **{f"weight.{i}": weight.numpy() for i, weight in enumerate(self.ensemble.weights)},
            "unit": np.array([self.unit]),
            "columns": self.columns.tensor(),
            "slopes": self.slopes,
            "scale": self.scale.tensor(),
        }

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "EmbeddedModel":
        columns = Columns.restored(tensors)
        if not len(columns):
            raise ContentError("it has no features")
        ensemble = DeviceEnsemble(len(labels) + 1, 1, len(columns), torch.Generator())
        fill(ensemble.weights, tensors, "weight")
        slopes = take(tensors, "slopes", (N_NETWORKS, 2))
        return cls(ensemble, labels, unit_of(tensors), columns, slopes, Scale.restored(tensors))


class MultiDeviceTransfer(Transfer):
    """The networks trained on all known devices.

    Args:
        ensemble: of the known devices.
        references: networks that will be measured.
        labels: operations by index.
        unit: number of nodes that a sum over nodes is divided by.
        columns: of the supplementary inputs.
        seed: of the batches while adapting.
    """

    def __init__(
        self,
        ensemble: DeviceEnsemble,
        references: Described,
        labels: Sequence[str],
        unit: float,
        columns: Columns,
        seed: int,
    ) -> None:
        self.ensemble, self.references, self.labels = ensemble, references, labels
        self.unit, self.columns, self.seed = unit, columns, seed

    @classmethod
    def learn(
        cls, archives: Sequence[Archive], references: Described, rng: np.random.Generator
    ) -> "MultiDeviceTransfer":
        require_devices(archives, 2)
        everything = [graph for archive in archives for graph in archive.networks.graphs]
        labels = sorted({label for graph in (*everything, *references.graphs) for label in graph.labels})
        unit = float(np.mean([len(graph) for graph in everything]))
        columns = Columns.of(np.concatenate([archive.networks.matrix for archive in archives]))
        seed = int(rng.integers(2**62))
        generator = torch.Generator().manual_seed(seed)
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():  # the caller may have disabled them
            graphs = summed(everything, labels, unit)
            features = torch.cat([columns(archive.networks) for archive in archives])
            devices = torch.cat([torch.full((len(archive.ms),), i) for i, archive in enumerate(archives)])
            targets = torch.from_numpy(np.concatenate([archive.ms for archive in archives]))
            ensemble = DeviceEnsemble(len(labels) + 1, len(archives), len(columns), generator)
            train(
                ensemble.weights,
                lambda batch: pair_loss(
                    ensemble(graphs[batch], features[batch], devices[batch]), targets[batch], devices[batch]
                ),
                n=len(everything),
                n_steps=N_STEPS,
                batch_size=BATCH_SIZE,
                learning_rate=RATE,
                weight_decay=DECAY,
                generator=generator,
            )
        return cls(ensemble, references, labels, unit, columns, seed)

    def adapt(self, measured: Sequence[int], ms: Array) -> EmbeddedModel:
        networks, scale = self.references[list(measured)], Scale.of(ms)
        generator = torch.Generator().manual_seed(self.seed)
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():
            graphs, features = summed(networks.graphs, self.labels, self.unit), self.columns(networks)
            targets, devices = torch.from_numpy(scale.targets(ms)), torch.zeros(len(ms), dtype=torch.int64)
            ensemble = deepcopy(self.ensemble)
            ensemble.devices = ensemble.devices[[self._most_alike(graphs, features, targets)]].clone()
            train(
                ensemble.weights,
                lambda batch: pair_loss(ensemble(graphs[batch], features[batch], devices[batch]), targets[batch]),
                n=len(ms),
                n_steps=N_ADAPTING_STEPS,
                batch_size=len(ms),
                learning_rate=ADAPTING_RATE,
                weight_decay=DECAY,
                generator=generator,
            )
            slopes = lines(ensemble.scores(graphs, features, 0), scale.targets(ms))
        return EmbeddedModel(ensemble, self.labels, self.unit, self.columns, slopes, scale)

    def _most_alike(self, graphs: Graphs, features: Tensor, targets: Tensor) -> int:
        """Return the known device as which the order of the measured latencies is the most probable.

        A rank correlation would do for many networks; of ten, several devices may have the same.
        """
        losses = [
            float(pair_loss(self.ensemble(graphs, features, torch.full((len(targets),), i)), targets))
            for i in range(len(self.ensemble.devices))
        ]
        return int(np.argmin(losses))
