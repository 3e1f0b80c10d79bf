"""Examples: a split of the data that networks are scored on again and again, with the targets of a task."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from torch import Tensor

from raynas.core.inputs import leaves
from raynas.data.batches import Batch, Batches
from raynas.trials.workers import Workers

if TYPE_CHECKING:
    from raynas.trials.task import Task

Example = tuple[Any, Any, Any]
"""Inputs, labels and targets of a batch."""

MAX_KEPT_BYTES = 256 * 2**20
"""Size of the batches that are kept in memory; larger splits are read, and asked a teacher about, each time."""


class Examples:
    """The batches of a split, with the targets of a task; any number of iterations gives the same.

    Args:
        task: gives the targets.
        batches: the data.
        part: "valid" or "test".
        precision: context in which targets are computed.
        max_kept_bytes: largest size of the batches that are kept from the first iteration to the next; 0 for none.
        workers: those that share the batches; each sees its own.
    """

    def __init__(
        self,
        task: "Task",
        batches: Batches,
        part: str,
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
        max_kept_bytes: int = 0,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self._task, self._batches, self.part, self._precision = task, batches, part, precision
        self._left = max_kept_bytes
        self._kept: list[Example] | None = None

    def __iter__(self) -> Iterator[Example]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Example] = []
        for inputs, labels in self._read():
            with self._precision():
                targets = self._task.targets(inputs, labels)
            if self._left > 0:
                kept.append((inputs, labels, targets))
                self._left -= _n_bytes(kept[-1])
                if self._left <= 0:
                    kept.clear()
            yield inputs, labels, targets
        if self._left > 0:
            self._kept = kept

    def _read(self) -> Iterator[Batch]:
        return self.workers.every_nth(self._batches.examine(self.part))

    def pairs(self) -> Iterator[Batch]:
        """Yield the batches of inputs and labels alone."""
        if self._kept is None:
            yield from self._read()
        else:
            yield from (example[:2] for example in self._kept)


def _n_bytes(example: Example) -> int:
    """Return the size of the tensors in a batch, those of a teacher among them."""
    inputs, labels, targets = example
    parts = (inputs, labels, vars(targets) if hasattr(targets, "__dict__") else targets)
    return sum(leaf.nbytes for leaf in leaves(parts) if isinstance(leaf, Tensor))
