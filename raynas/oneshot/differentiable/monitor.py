"""Monitor: what is measured of a search after each epoch, its warning of a collapse, and its early end."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.core.inputs import part_of
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.selection import Selection
from raynas.nn.supernet import Supernet
from raynas.oneshot.base import Batch
from raynas.oneshot.differentiable.curvature import dominant_eigenvalue
from raynas.oneshot.differentiable.frozen import frozen
from raynas.oneshot.differentiable.relaxed import RelaxedArchitecture
from raynas.oneshot.differentiable.skips import skip_share
from raynas.oneshot.differentiable.stopping import Point
from raynas.oneshot.differentiable.watch import accuracies
from raynas.seeds import seed_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """State of a search at the end of an epoch.

    Args:
        epoch: counted from 0.
        progress: share of the training before this epoch, in [0, 1].
        supernet: that of the present stage.
        loss: of a batch under a selection, a scalar with a gradient for the architecture parameters.
        valid: gives the held-out batches from the beginning.
    """

    epoch: int
    progress: float
    supernet: Supernet
    loss: Callable[[Batch, Selection], Tensor]
    valid: Callable[[], Iterable[Batch]]


class Monitor:
    """Measures as the method's ``watch`` says, warns once, and ends the search as the method's ``stop`` says.

    Args:
        relaxed: the architecture of the search.
        n_epochs: length of the training.
        seed: of the power iteration.
    """

    def __init__(self, relaxed: RelaxedArchitecture, *, n_epochs: int, seed: int) -> None:
        self.relaxed = relaxed
        self.history: list[Point] = []
        self.stopped_at: Architecture | None = None
        self.ended_because = ""
        self._n_epochs = n_epochs
        self._seed = seed
        self._warned = False

    def observe(self, observed: Observed) -> dict[str, float]:
        """Measure, warn and decide on an early end.

        Returns:
            Share of skip connections, share of weak operations if there is a threshold, entropy of the weights,
            expected costs, and where ``watch`` asks for them the accuracies of mixture and derived architecture, and
            the dominant eigenvalue; by name.
        """
        method, alphas = self.relaxed.method, self.relaxed.alphas
        derived = self.relaxed.derived()
        metrics = {
            "skip_share": skip_share(derived, alphas.skips),
            "alpha_entropy": alphas.entropy(method.relaxation),
            **({"weak_share": self.relaxed.weak_share(derived)} if method.threshold else {}),
            **self.relaxed.expected_costs(),
            **self.discretisation_gap(observed, derived),
            **self.curvature(observed),
        }
        self.history.append(
            Point(epoch=observed.epoch, derived=derived, metrics=metrics, order=alphas.learnable_order())
        )
        done = (observed.epoch + 1) / self._n_epochs
        if not self._warned and (text := method.watch.warning(self.history, done)):
            self._warned = True
            logger.warning(text)
        if method.stop and not self.stopped_at and (stop := method.stop(self.history, done, alphas.skips)):
            self.stopped_at, self.ended_because = stop.derived, stop.reason
        return metrics

    def discretisation_gap(self, observed: Observed, derived: Architecture) -> dict[str, float]:
        """Return the accuracies of the mixture and of the derived architecture, in [0, 1], and their difference."""
        batches = list(islice(observed.valid(), self.relaxed.method.watch.gap_batches))
        if not batches:
            return {}
        with torch.no_grad():
            selections = {"mixture": self.relaxed.mean_selection(observed.progress), "derived": derived}
        found = accuracies(observed.supernet, selections, batches)
        return {
            "mixture_accuracy": found["mixture"],
            "derived_accuracy": found["derived"],
            "discretisation_gap": found["mixture"] - found["derived"],
        }

    def curvature(self, observed: Observed) -> dict[str, float]:
        """Return the dominant eigenvalue of the Hessian of the held-out loss for the architecture parameters."""
        watch = self.relaxed.method.watch
        batch = next(iter(observed.valid()), None) if watch.looks_at_curvature(observed.epoch) else None
        if batch is None:
            return {}
        some = slice(watch.eigenvalue_images)
        inputs, labels = part_of(batch[0], some), batch[1][some]
        with frozen(observed.supernet.parameters()), batch_statistics(observed.supernet):
            value = dominant_eigenvalue(
                lambda: observed.loss((inputs, labels), self.relaxed.mean_selection(observed.progress)),
                self.relaxed.alphas.parameters(),
                n_iterations=watch.n_iterations,
                seed=seed_of(self._seed, "eigenvalue", observed.epoch),
            )
        return {"dominant_eigenvalue": value}

    def state_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "history": [point.to_dict() for point in self.history],
            "warned": self._warned,
            "stopped_at": None if self.stopped_at is None else dict(self.stopped_at),
            "ended_because": self.ended_because,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from ``state_dict``; other keys are ignored."""
        self.history = [Point.from_dict(point) for point in state["history"]]
        self._warned, self.ended_because = bool(state["warned"]), str(state["ended_because"])
        self.stopped_at = None if state["stopped_at"] is None else Architecture(state["stopped_at"])
