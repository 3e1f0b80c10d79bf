"""Few-shot prediction by meta-learning: a network that a few gradient steps adapt to a new device.

Lee, Lee, Chong and Hwang, "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via Meta-Learning" (NeurIPS
2021, arXiv:2106.08630): a device is embedded as its latencies on reference networks; initial weights and a rate for
each weight are learned such that two steps suffice (Li et al., "Meta-SGD", arXiv:1707.09835). Deviations: the reference
networks are those that the steps are taken on, ten measurements in all where the authors' program takes twenty; inputs
are features of the space instead of a convolution over the graph; initial weights are not modulated at random, which
the authors scale by 0.01; latencies are standardised by the measured networks alone, as nobody knows those of others;
layers, episodes and queries are a third of theirs or more, for a CPU.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.columns import Columns
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.model import LatencyModel, Scale, Tensors, take
from raynas.metrics.latency_predictor.transfer import Archive, Transfer, require_devices
from raynas.threads import limited_threads

Array = NDArray[np.float64]

N_EPISODES, N_TASKS, N_QUERIES, N_STEPS = 600, 8, 64, 2
WIDTH, META_RATE, FIRST_RATE = 64, 1e-3, 1e-2

_DROP = 0.5
"""Share of the tasks in which one reference is missing, as where one is left out to find the error."""


class MetaModel(LatencyModel):
    """The network of one device.

    Args:
        weights: adapted, see ``_forward``.
        embedding: standardised latencies of the references, 0 for those not measured, ``(1, n_references)``.
        columns: of the features.
        scale: of the targets.
    """

    def __init__(self, weights: Sequence[Tensor], embedding: Tensor, columns: Columns, scale: Scale) -> None:
        self.weights, self.embedding, self.columns, self.scale = weights, embedding, columns, scale

    def predict(self, networks: Described) -> Array:
        with limited_threads(1), torch.inference_mode():
            found = _forward(self.weights, self.columns(networks)[None], self.embedding)[0]
        return self.scale.ms(found.double().numpy())

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        return {
            **{f"weight.{i}": weight.numpy() for i, weight in enumerate(self.weights)},
            "embedding": self.embedding.numpy(),
            "columns": self.columns.tensor(),
            "scale": self.scale.tensor(),
        }

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "MetaModel":
        embedding, columns = take(tensors, "embedding", (1, None)), Columns.restored(tensors)
        shapes = _shapes(len(columns), embedding.shape[1])
        weights = [torch.from_numpy(take(tensors, f"weight.{i}", shape)).float() for i, shape in enumerate(shapes)]
        return cls(weights, torch.from_numpy(embedding).float(), columns, Scale.restored(tensors))


class MetaTransfer(Transfer):
    """The initial weights, and the rates of the steps from them.

    Args:
        weights: initial.
        rates: of each weight.
        references: features of the reference networks, ``(1, n_references, n_features)``.
        columns: of the features.
    """

    def __init__(self, weights: list[Tensor], rates: list[Tensor], references: Tensor, columns: Columns) -> None:
        self.weights, self.rates, self.references, self.columns = weights, rates, references, columns

    @classmethod
    def learn(cls, archives: Sequence[Archive], references: Described, rng: np.random.Generator) -> "MetaTransfer":
        require_devices(archives, 2)
        if missing := [archive.device for archive in archives if np.isnan(archive.reference_ms).any()]:
            raise SettingError(
                f"HELP embeds a device by its latencies on the networks measured, which {', '.join(missing)} has not "
                "all; measure networks that every archive has, as choose_networks gives them"
            )
        columns = Columns.of(np.concatenate([archive.networks.matrix for archive in archives]))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():  # the caller may have disabled them
            weights = _initial(_shapes(len(columns), len(references)), generator)
            rates = [torch.full_like(weight, FIRST_RATE) for weight in weights]
            learned = cls(weights, rates, columns(references)[None], columns)
            learned._train(archives, generator)
        return learned

    def adapt(self, measured: Sequence[int], ms: Array) -> MetaModel:
        scale, is_measured = Scale.of(ms), torch.zeros(1, self.references.shape[1])
        is_measured[0, list(measured)] = 1
        embedding = torch.zeros_like(is_measured)
        embedding[0, list(measured)] = torch.from_numpy(scale.targets(ms)).float()
        with limited_threads(1), torch.inference_mode(False), torch.enable_grad():
            adapted = self._adapted(embedding, is_measured, create_graph=False)
        return MetaModel([weight.detach() for weight in adapted], embedding, self.columns, scale)

    def _adapted(self, embeddings: Tensor, is_measured: Tensor, *, create_graph: bool) -> list[Tensor]:
        """Take the steps for several devices at once.

        Args:
            embeddings: ``(n_devices, n_references)``, which are the targets of the steps too.
            is_measured: 1 or 0, of the same shape.
            create_graph: True to differentiate through the steps.
        """
        n_devices = len(embeddings)
        weights = [weight.expand(n_devices, -1, -1) for weight in self.weights]
        if not create_graph:
            weights = [weight.detach().clone().requires_grad_(True) for weight in weights]
        x = self.references.expand(n_devices, -1, -1)
        for _ in range(N_STEPS):
            errors = (_forward(weights, x, embeddings) - embeddings).square() * is_measured
            loss = (errors.sum(dim=1) / is_measured.sum(dim=1)).sum()  # a device's gradient is its own
            slopes = torch.autograd.grad(loss, weights, create_graph=create_graph)
            weights = [w - rate * slope for w, rate, slope in zip(weights, self.rates, slopes, strict=True)]
        return weights

    def _train(self, archives: Sequence[Archive], generator: torch.Generator) -> None:
        scales = [Scale.of(archive.reference_ms) for archive in archives]
        embeddings = torch.from_numpy(
            np.stack([s.targets(a.reference_ms) for s, a in zip(scales, archives, strict=True)])
        )
        inputs = [self.columns(archive.networks) for archive in archives]
        targets = [torch.from_numpy(s.targets(a.ms)).float() for s, a in zip(scales, archives, strict=True)]
        learned = [*self.weights, *self.rates]
        for tensor in learned:
            tensor.requires_grad_(True)
        adam = torch.optim.Adam(learned, lr=META_RATE, fused=True)
        for episode in range(N_EPISODES):
            adam.param_groups[0]["lr"] = META_RATE * 0.5 * (1 + math.cos(math.pi * episode / N_EPISODES))
            devices = torch.randperm(len(archives), generator=generator)[:N_TASKS].tolist()
            is_measured = _with_one_missing(len(devices), embeddings.shape[1], generator)
            embedded = embeddings[devices].float() * is_measured
            adapted = self._adapted(embedded, is_measured, create_graph=True)
            drawn = [torch.randint(len(targets[d]), (N_QUERIES,), generator=generator) for d in devices]
            x = torch.stack([inputs[d][query] for d, query in zip(devices, drawn, strict=True)])
            y = torch.stack([targets[d][query] for d, query in zip(devices, drawn, strict=True)])
            adam.zero_grad()
            (_forward(adapted, x, embedded) - y).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            adam.step()
        for tensor in learned:
            tensor.requires_grad_(False).grad = None


def _with_one_missing(n_devices: int, n_references: int, generator: torch.Generator) -> Tensor:
    """Return 1 for each reference, but for a share of the devices 0 for one of them."""
    is_measured = torch.ones(n_devices, n_references)
    missing = torch.randint(n_references, (n_devices,), generator=generator)
    drops = torch.rand(n_devices, generator=generator) < _DROP
    is_measured[torch.arange(n_devices)[drops], missing[drops]] = 0
    return is_measured


def _shapes(n_features: int, n_references: int) -> list[tuple[int, int, int]]:
    """Return the shapes of weights and biases: two layers on features, two on the embedding, three on both."""
    layers = [(n_features, WIDTH), (WIDTH, WIDTH), (n_references, WIDTH), (WIDTH, WIDTH)]
    layers += [(2 * WIDTH, 2 * WIDTH), (2 * WIDTH, 2 * WIDTH), (2 * WIDTH, 1)]
    return [shape for n_in, n_out in layers for shape in ((1, n_in, n_out), (1, 1, n_out))]


def _initial(shapes: Sequence[tuple[int, int, int]], generator: torch.Generator) -> list[Tensor]:
    """Draw weights as He et al. (2015); biases are 0."""
    return [
        torch.randn(shape, generator=generator) * math.sqrt(2 / shape[1]) if i % 2 == 0 else torch.zeros(shape)
        for i, shape in enumerate(shapes)
    ]


def _forward(weights: Sequence[Tensor], x: Tensor, embeddings: Tensor) -> Tensor:
    """Return targets, ``(n_devices, n)``.

    Args:
        weights: of each device, ``(n_devices, n_in, n_out)``, see ``_shapes``.
        x: features, ``(n_devices, n, n_features)``.
        embeddings: ``(n_devices, n_references)``.
    """
    layers = list(zip(weights[::2], weights[1::2], strict=True))

    def through(inputs: Tensor, first: int, last: int) -> Tensor:
        for weight, bias in layers[first:last]:
            inputs = torch.baddbmm(bias, inputs, weight).relu()
        return inputs

    device = through(embeddings[:, None], 2, 4).expand(-1, x.shape[1], -1)
    both = through(torch.cat((through(x, 0, 2), device), dim=2), 4, 6)
    weight, bias = layers[6]
    return torch.baddbmm(bias, both, weight)[..., 0]
