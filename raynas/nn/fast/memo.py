"""Memo: results of steps without parameters, shared by all candidates that start from the same tensor."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

import torch
from torch import Tensor

from raynas.nn.fast.running_statistics import RunningStatistics

_Result = TypeVar("_Result")


class Memo:
    """Results of functions of a tensor, by the tensor and the name of the function.

    Make one for each forward pass of a network. The oldest results are dropped, so that it keeps little alive.

    Args:
        size: maximum number of results; a cell of DARTS has about 40.

    Attributes:
        statistics: updates of batch norms that wait for the end of the forward pass.
    """

    def __init__(self, size: int = 48) -> None:
        self._size = size
        self.statistics = RunningStatistics()
        self._results: OrderedDict[Hashable, tuple[Tensor, object]] = OrderedDict()

    def get(self, x: Tensor, key: Hashable, compute: Callable[[Tensor], _Result]) -> _Result:
        """Return ``compute(x)``, computed only once for this ``x`` and ``key``.

        Args:
            x: the tensor; a change in place counts as another one.
            key: names the function; equal keys, equal functions.
            compute: the function.
        """
        if x.is_inference():  # Has no version that would tell whether it was changed.
            return compute(x)
        entry = (id(x), x._version, torch.is_grad_enabled(), key)
        if entry not in self._results:
            self._results[entry] = (x, compute(x))  # Holding x keeps its id from being used again.
            if len(self._results) > self._size:
                self._results.popitem(last=False)
        return cast(_Result, self._results[entry][1])

    def finish(self) -> None:
        """End the forward pass: update the statistics of batch norms and forget all results."""
        self.statistics.apply()
        self._results.clear()
