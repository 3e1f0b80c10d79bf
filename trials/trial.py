"""Trial: the evaluation of one architecture, as the author of a new kind of trial writes it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.trials.checkpoint import State
from raynas.trials.workers import Workers

if TYPE_CHECKING:
    from raynas.trials.settings import ArchitectureSettings

SettingsT = TypeVar("SettingsT", bound="ArchitectureSettings")


class Trial(ABC, Generic[SettingsT]):
    """The evaluation of one architecture; a subclass implements ``start`` and ``advance``.

    A ``TrialRunner`` makes a new object for each architecture, so that nothing passes from one evaluation to the next;
    objects that many evaluations share, such as data, are arguments of the constructor. Every method may raise: the
    runner turns an exception into a result with ``failed`` 1.

    ``start`` and every ``advance`` find the global generators of torch, numpy and Python seeded from the seed, the
    architecture and the epoch. What they change of the process, such as the default dtype, ends with the trial.

    Args:
        space: the space that the architecture belongs to.
        settings: settings of the trial.
    """

    epoch: int = 0
    """Number of epochs done, counted by the runner."""

    directory: str | None = None
    """Folder of the trial, visible to all nodes; None outside of Tune. Set by the runner before ``start``."""

    workers: Workers = Workers()
    """Those that share each batch, this process among them; set by the runner before ``start``."""

    def __init__(self, space: SearchSpace, settings: SettingsT) -> None:
        self.space, self.settings = space, settings

    @abstractmethod
    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Prepare to score ``arch`` from the beginning.

        Args:
            arch: canonical.
            hyperparameters: the other entries of the trial's config.
        """

    @abstractmethod
    def advance(self) -> Mapping[str, float]:
        """Do one epoch, or another unit of fidelity, and return the scores so far, such as "accuracy".

        Raises:
            StopIteration: if nothing was left to do; the last scores remain.
        """

    @property
    def finished(self) -> bool:
        """True if the epoch just done was the last; by default after ``settings.max_fidelity``."""
        return self.epoch >= self.settings.max_fidelity

    def state(self) -> State | None:
        """Return the state after this epoch, tensors in plain containers; None (the default) if none can be resumed.

        A ``state_dict`` under "model" comes back by ``SearchResult.trained_model``.
        """
        return None

    def load_state(self, state: State) -> None:
        """Restore ``state`` after ``start``. If it raises, the trial starts from epoch 0."""
        raise RaynasError("this kind of trial cannot go on from a checkpoint")

    def take_over(self, state: State, arch: Architecture) -> Mapping[str, float]:
        """Restore as much as fits of the ``state`` of another architecture, ``arch``, after ``start``.

        If it raises, the trial starts from epoch 0.

        Returns:
            The scores right after.
        """
        raise RaynasError(f"this kind of trial can take nothing over from another architecture, {arch.key}")

    @property
    def notes(self) -> Mapping[str, str]:
        """Text to add to every result, by key; by default none."""
        return {}

    def close(self) -> None:  # most trials have nothing to close
        """Release resources that garbage collection does not, such as other processes."""

    @property
    def device(self) -> torch.device:
        """Device to compute on."""
        return self.settings.torch_device
