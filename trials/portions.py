"""Portions: batches of an evaluation in parts that fit the memory of a GPU."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from raynas.core.inputs import Arguments, Inputs, leaves, part_of
from raynas.data.moving import free_memory
from raynas.trials import failures

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

FIRST = 64
"""Number of examples that are run first, to see what they need."""

SHARE = 0.25
"""Share of the free memory that a part may take."""


class Portions:
    """Runs batches in parts: on a GPU as large as the memory that the first examples took allows, else whole.

    Where memory runs out nevertheless, parts are halved.

    Attributes:
        size: number of examples of a part; None for the whole batch.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self._is_known = False

    def run(self, function: Callable[[Inputs, Any], _Result], inputs: Inputs, targets: Any) -> Iterator[_Result]:
        """Yield the results for the parts of a batch, in order.

        Args:
            function: takes inputs and targets.
            inputs: of the batch.
            targets: of the batch; those that cannot be divided keep it whole.
        """
        n, start = Arguments.of(inputs).n_examples, 0
        device = next((tensor.device for tensor in Arguments.of(inputs).tensors), torch.device("cpu"))
        is_divisible = n > 1 and all(isinstance(leaf, Tensor | int | float | None) for leaf in leaves(targets))
        if not is_divisible:
            yield function(inputs, targets)
            return
        while start < n:
            size = min(self._size(n, device), n - start)
            part = slice(start, start + size)
            given = (inputs, targets) if size == n else (part_of(inputs, part, n), part_of(targets, part, n))
            before = 0 if self._is_known else _allocated(device)
            try:
                result = function(*given)
            except Exception as error:
                if size == 1 or not failures.is_out_of_memory(error):
                    raise
                failures.forget_frames(error)
                self.size, self._is_known = size // 2, True
            else:
                if not self._is_known and device.type == "cuda":
                    self._learn(device, _allocated(device) - before, size)
                yield result
                start += size
                continue
            logger.warning("memory ran out with %d examples of an evaluation: %d from now on", size, self.size)
            failures.give_back_memory(device)

    def _size(self, n: int, device: torch.device) -> int:
        if not self._is_known and device.type == "cuda":
            return FIRST
        return self.size or n

    def _learn(self, device: torch.device, n_bytes: int, n: int) -> None:
        """Choose the size by the bytes of all tensors that ``n`` examples made: never less than they need at a time."""
        self._is_known = True
        most = int(SHARE * free_memory(device) * n / max(n_bytes, 1))
        self.size = max(2 ** (most.bit_length() - 1), n) if most else n


def _allocated(device: torch.device) -> int:
    """Return the bytes of all tensors so far, also of those that are gone; reading them does not wait for the GPU."""
    if device.type != "cuda":
        return 0
    return int(torch.cuda.memory_stats(device).get("allocated_bytes.all.allocated", 0))
