"""Base classes of all methods that train shared weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.core.architecture import Architecture
from raynas.core.feasible_sampler import FeasibleSampler, MemberLimits
from raynas.core.inputs import Arguments, Inputs
from raynas.nn.selection import Selection
from raynas.nn.supernet import Selected, Supernet
from raynas.oneshot.optimizer_state import with_settings_of
from raynas.seeds import seed_of

Batch = tuple[Any, Any]
"""Inputs, such as images ``(batch, channels, height, width)``, and what the loss compares predictions with, such as
labels ``(batch,)``, on the supernet's device."""


def _nothing(parameters: Iterable[nn.Parameter]) -> None:
    """Leave gradients as they are: there is one worker."""


def _called(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return the output of a network."""
    output: Tensor = Arguments.of(inputs).call(model)
    return output


def soft_cross_entropy(logits: Tensor, given: Tensor, targets: object) -> Tensor:
    """Return the cross entropy of logits ``(batch, n_classes)`` against the probabilities that another network gives.

    Args:
        logits: of the network that is trained.
        given: logits of the other network for the same inputs.
        targets: of the batch, which have no part in it.
    """
    return functional.cross_entropy(logits, given.softmax(dim=1))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Inputs of a method.

    Args:
        supernet: whose weights are trained, on its device.
        optimizer: of the shared weights; its learning rate is set from outside before every step.
        n_epochs: how long the training is, for the schedules of a method.
        n_steps: training batches in an epoch.
        seed: everything random follows from it, the epoch and the step.
        loss: of predictions and targets, a scalar; for classes, of logits ``(batch, n_classes)`` and labels.
        imitation: loss of predictions against those of another subnet for the same inputs, given the targets too.
        outputs: gives the prediction of a network for inputs.
        precision: the context that forward passes run in, e.g. ``partial(torch.autocast, "cpu", torch.bfloat16)``.
        average_gradients: called with parameters after each backward pass; averages their gradients over the workers
            of data-parallel training.
        clip_norm: the largest norm of the gradient of the shared weights; None for no limit.
        latency_threads: CPU threads that expected costs are measured with.
        limits: hard limits on costs; see ``OneShot``. None for no limits.
    """

    supernet: Supernet
    optimizer: torch.optim.Optimizer
    n_epochs: int
    n_steps: int
    seed: int = 0
    loss: Callable[[Tensor, Any], Tensor] = functional.cross_entropy
    imitation: Callable[[Tensor, Tensor, Any], Tensor] = soft_cross_entropy
    outputs: Callable[[nn.Module, Inputs], Tensor] = _called
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    average_gradients: Callable[[Iterable[nn.Parameter]], None] = _nothing
    clip_norm: float | None = None
    latency_threads: int = 1
    limits: MemberLimits | None = None


@dataclass(frozen=True, kw_only=True)
class OneShot(ABC):
    """A way of training shared weights: the settings of a published method, checked when they are made.

    Hard limits on costs hold for everything that a method scores or derives. Subnets that are drawn to be trained obey
    them where the method draws freely: single path, ENAS, and the random ones of the sandwich rule (Guo et al., "Single
    Path One-Shot", arXiv:1904.00420, draw subnets under constraints by default). They do not where a method prescribes
    what is trained: the largest network, which teaches others, the smallest, the options that FairNAS deals evenly, and
    the phases of progressive shrinking. These weights are shared by those that comply.
    """

    needs_classes: ClassVar[bool] = False
    """True if it can train networks that tell classes apart alone, as methods do that learn from accuracies."""

    uses_valid: ClassVar[bool] = False
    """True if each step also takes a batch of held-out data, as methods do that learn the architecture."""

    @property
    def partial_channels(self) -> int:
        """k, if 1/k of the channels goes through the choices of the supernet."""
        return 1

    @abstractmethod
    def start(self, setup: Setup) -> "Learner":
        """Return the learner that carries the method out, in its initial state.

        Raises:
            RaynasError: if the space is not one for this method.
        """


class Learner(ABC):
    """A method at work on a supernet, epoch by epoch: ``begin_epoch``, a ``step`` for each batch, ``end_epoch``.

    All that is random in an epoch is drawn from ``self.rng`` and torch's global generator, which ``begin_epoch`` seeds
    from the setup's seed and the epoch. So a training resumed from ``state_dict``, taken between epochs, equals
    one that was never interrupted.

    Args:
        setup: what it works with.
    """

    ended_because: str = ""
    """Reason to stop before the last epoch; empty if there is none."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.supernet = setup.supernet
        self.epoch = 0
        self.step_in_epoch = 0
        self.rng = np.random.default_rng(setup.seed)
        self._sampler = self._fresh_sampler()

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1], counted in steps."""
        return min((self.epoch + self.step_in_epoch / self.setup.n_steps) / self.setup.n_epochs, 1.0)

    def begin_epoch(self) -> None:
        """Get ready for the steps of the next epoch."""
        seed = seed_of(self.setup.seed, "supernet", self.epoch)
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self._sampler = self._fresh_sampler()
        self.step_in_epoch = 0
        self.supernet.train()

    def step(self, train: Batch, valid: Batch | None = None) -> Tensor:
        """One update.

        Args:
            train: a batch for the shared weights.
            valid: a held-out batch, if the method ``uses_valid``.

        Returns:
            The training loss, a detached scalar on the device.
        """
        loss = self.update(train, valid)
        self.step_in_epoch += 1
        return loss.detach()

    @abstractmethod
    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        """Carry out a step and return the training loss; ``step`` counts."""

    def end_epoch(self, valid: Callable[[], Iterable[Batch]]) -> Mapping[str, float]:
        """Close the epoch.

        Args:
            valid: gives the held-out batches from the beginning, for methods that watch themselves.

        Returns:
            What is to be reported besides loss and accuracy, by name.
        """
        metrics = self.watch(valid)
        self.epoch += 1
        self.step_in_epoch = 0
        return metrics

    def watch(self, valid: Callable[[], Iterable[Batch]]) -> Mapping[str, float]:
        """Return what ``end_epoch`` reports, by default nothing."""
        return {}

    @abstractmethod
    def candidates(self) -> Sequence[Architecture]:
        """Return the subnets whose mean accuracy measures progress: the derived one, or samples.

        Does not depend on what was asked before.
        """

    @property
    def derived(self) -> Architecture | None:
        """The architecture that the method has found; None if it only trains weights, for a search to follow."""
        return None

    def option_weights(self) -> dict[str, dict[str, float]]:
        """Return the weight of each option by decision, for methods that learn them; see ``RelaxedWeights``."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State to resume from, between epochs: tensors in plain containers, nothing copied."""
        return {
            "epoch": self.epoch,
            "supernet": dict(self.supernet.state_dict()),
            "optimizer": self.setup.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from ``state_dict``.

        Raises:
            Exception: if the state is another supernet's, optimizer's or method's.
        """
        self.supernet.load_state_dict(state["supernet"])
        optimizer = self.setup.optimizer
        optimizer.load_state_dict(with_settings_of(optimizer, state["optimizer"]))
        self.epoch = int(state["epoch"])

    # --- what updates are made of --------------------------------------------------------------------------------

    def weights(self) -> Iterator[nn.Parameter]:
        """Return the shared weights."""
        return self.supernet.parameters()

    def logits(self, inputs: Inputs, selection: Selection, supernet: Supernet | None = None) -> Tensor:
        """Return predictions of a supernet, such as logits ``(batch, n_classes)``, in float32.

        They are computed in the precision of the setup.

        Args:
            inputs: what the networks take; see ``Inputs``.
            selection: what is computed.
            supernet: another one than that which is trained, such as a teacher.
        """
        with self.setup.precision():
            logits = self.setup.outputs(Selected(supernet or self.supernet, selection), inputs)
        return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

    def accumulate(self, inputs: Inputs, selection: Selection, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Add the gradient of one selection to those of the shared weights.

        Args:
            inputs: what the networks take; see ``Inputs``.
            selection: what is computed.
            loss_of: gives the loss of predictions.

        Returns:
            The loss, detached.
        """
        loss = loss_of(self.logits(inputs, selection))
        loss.backward()
        return loss.detach()

    def supervised(self, targets: Any) -> Callable[[Tensor], Tensor]:
        """Return the loss of predictions against targets, such as labels."""
        return lambda outputs: self.setup.loss(outputs, targets)

    def averaged(self, value: Tensor) -> Tensor:
        """Average a number over the workers of data-parallel training.

        Args:
            value: a scalar on the supernet's device.
        """
        carrier = nn.Parameter(torch.zeros_like(value))
        carrier.grad = value.detach().clone()
        self.setup.average_gradients([carrier])
        return carrier.grad

    def apply_gradients(self) -> None:
        """Average, clip and apply the gradients of the shared weights, of which parts that were not used have none."""
        used = [parameter for parameter in self.weights() if parameter.grad is not None]
        self.setup.average_gradients(used)
        if self.setup.clip_norm is not None:
            nn.utils.clip_grad_norm_(used, self.setup.clip_norm)
        self.setup.optimizer.step()
        self.setup.optimizer.zero_grad(set_to_none=True)

    # --- members -------------------------------------------------------------------------------------------------

    def sampled(self, n: int, purpose: str = "candidates") -> list[Architecture]:
        """Random subnets within the limits, which follow from the seed and the epoch alone.

        Raises:
            InfeasibleError: if none was found.
        """
        rng, limits = self._rng_of(purpose), self.setup.limits
        return limits.draw(n, rng) if limits else [self.supernet.space.sample(rng) for _ in range(n)]

    def within_limits(self, arch: Architecture, purpose: str = "nearest") -> Architecture:
        """Return an architecture if it is within the limits, otherwise one near it that is.

        It follows from the seed and the epoch alone.

        Raises:
            InfeasibleError: if none was found.
        """
        limits = self.setup.limits
        return limits.nearest(arch, self._rng_of(purpose)) if limits else arch

    def random_subnet(self) -> Architecture:
        """Draw the next subnet to be trained, within the limits.

        Raises:
            InfeasibleError: if none was found.
        """
        if self._sampler is None:
            return self.supernet.space.sample(self.rng)
        return self._sampler.found(self._sampler.draw())

    def near(self, arch: Architecture) -> Architecture:
        """Return a subnet to be trained if it is within the limits, otherwise one near it that is.

        Raises:
            InfeasibleError: if none was found.
        """
        return arch if self._sampler is None else self._sampler.found(self._sampler.nearest(arch))

    def _fresh_sampler(self) -> FeasibleSampler | None:
        """Return a sampler that has learned nothing yet: an epoch must not depend on those before it."""
        return self.setup.limits.sampler(self.rng) if self.setup.limits else None

    def _rng_of(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(seed_of(self.setup.seed, purpose, self.epoch))
