"""What a network costs to store and to run: parameters and multiply-adds, counted without computing anything."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.metrics.cost_sums import CostSums, cost_sums
from raynas.metrics.mac_counter import MacCounter, Outcomes, macs_of, no_garbage_collection
from raynas.nn.model_space import ModelSpace

N_COUNTED = 20
"""How many architectures are counted at least before costs that seem to add up are added."""


def count_params(model: nn.Module) -> int:
    """How many numbers the parameters of ``model`` hold, trainable or not; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """How many multiply-adds ``model`` takes for one example, in eval mode.

    Counted are convolutions, matrix products and attention, as ``torch.utils.flop_counter`` knows them (it counts two
    operations for each multiply-add), and their biases, one for each number put out, as Dong and Yang (ICLR 2020) count
    them. Normalisation, activations and pooling are free. The model runs on the meta device, so nothing is computed,
    and it is left as it was.

    Args:
        model: takes one tensor of shape ``(batch, *input_shape)``.
        input_shape: shape of one example without the batch.

    Raises:
        RaynasError: if the model cannot run without values, e.g. because it reads a number out of a tensor.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    return macs_of(model, lambda: torch.zeros((1, *input_shape), dtype=dtype, device="meta"), MacCounter({}))


class MetaModels:
    """What the networks of a space cost; builds them on the meta device.

    Where costs add up over choices (see ``cost_sums``), adding replaces counting as soon as it has been found to give
    what was counted of at least ``N_COUNTED`` architectures. Otherwise the last network is remembered, so that several
    metrics share one build.

    Args:
        space: the space whose networks they are.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._last: tuple[Architecture, nn.Module] | None = None
        self._operations: Outcomes = {}
        self._counted: dict[str, dict[Architecture, int]] = {"params": {}, "macs": {}}
        self._adds_up: dict[str, bool] = {}

    def __call__(self, arch: Architecture) -> nn.Module:
        """The network of ``arch``, without values; not to be changed."""
        if self._last is None or self._last[0] != arch:
            with no_garbage_collection(), torch.inference_mode(False), torch.device("meta"):
                self._last = arch, self.space.build(arch)
        return self._last[1]

    def params(self, arch: Architecture) -> int:
        """The parameters of ``arch``."""
        return self._cost("params", arch, lambda: count_params(self(arch)))

    def macs(self, arch: Architecture) -> int:
        """The multiply-adds of ``arch`` for one example."""
        return self._cost("macs", arch, lambda: self._macs(arch))

    def _macs(self, arch: Architecture) -> int:
        return macs_of(self(arch), lambda: self.space.example_input(1, "meta"), MacCounter(self._operations))

    def _cost(self, name: str, arch: Architecture, count: Callable[[], int]) -> int:
        if self._adds_up.get(name) and self.sums is not None:
            with suppress(KeyError):  # No member: building it says why not.
                return self.sums.of(name, arch)
        cost = count()
        if name not in self._adds_up:
            self._counted[name][arch] = cost
            self._compare(name)
        return cost

    def _compare(self, name: str) -> None:
        """Decide whether to count or to add from now on, once enough has been counted to pay for finding the sums."""
        counted = self._counted[name]
        if not isinstance(self.space, ModelSpace):
            self._adds_up[name] = False
        elif len(counted) >= max(N_COUNTED, self.space.n_features // 4):
            sums = self.sums
            self._adds_up[name] = sums is not None and all(sums.of(name, a) == n for a, n in counted.items())
            counted.clear()

    @cached_property
    def sums(self) -> CostSums | None:
        """The sums that costs are, if they are any."""
        return cost_sums(self.space)

    def adds_up(self, name: str) -> bool | None:
        """Whether a cost is added, not counted; None as long as that is not known."""
        return self._adds_up.get(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None, "_operations": {}}  # Networks need not travel.


def params(models: MetaModels, arch: Architecture) -> int:
    """The metric "params"."""
    return models.params(arch)


def macs(models: MetaModels, arch: Architecture) -> int:
    """The metric "macs"."""
    return models.macs(arch)
