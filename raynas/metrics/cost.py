"""Costs of a network: parameters and multiply-adds, counted without computing anything."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments, Inputs, InputSpec, as_spec, make_example
from raynas.core.metric import Candidate
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.cost_sums import CostSums, cost_sums
from raynas.metrics.mac_counter import MacCounter, Outcomes, macs_of, macs_with_values, no_garbage_collection
from raynas.nn.model_space import ModelSpace
from raynas.nn.stand_ins import device_of, is_bare

N_COUNTED = 20
"""Minimum number of exact counts before the additive model is trusted."""


def count_params(model: nn.Module) -> int:
    """Return the number of parameters of ``model``, trainable or not; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, inputs: InputSpec | Sequence[int]) -> int:
    """Return the multiply-adds of ``model`` for one example, in eval mode.

    Counted are convolutions, matrix products and attention, as ``torch.utils.flop_counter`` knows them (it counts two
    operations for each multiply-add), and their biases, one for each number put out, as Dong and Yang (ICLR 2020) count
    them. Normalisation, activations and pooling are free. A part that is used at two places counts for each call. The
    model runs on the meta device, so nothing is computed, unless it needs values, e.g. because it reads a number out of
    a tensor. It is left as it was.

    Args:
        model: the network.
        inputs: what it takes: the shape of one example, without the batch, for one tensor of real numbers; else a
            description or examples, see ``InputSpec``.

    Raises:
        RaynasError: if the model cannot run.
    """
    spec = as_spec(inputs)

    def example(device: str | torch.device) -> Arguments:
        return _as_for(model, make_example(spec, 1, device))

    try:
        return macs_of(model, lambda: example("meta"), MacCounter({}))
    except RaynasError:
        if is_bare(model):
            raise
        return macs_with_values(model, example(device_of(model)))


def _as_for(model: nn.Module, inputs: Inputs) -> Arguments:
    """Return inputs in the floating-point type of the model's parameters."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    arguments = Arguments.of(inputs)
    return arguments.map_real(lambda tensor: tensor.to(dtype)) if dtype else arguments


class MetaModels:
    """The networks of a space on the meta device, and their costs.

    Where costs add up over choices (see ``cost_sums``), adding replaces counting as soon as it has reproduced the
    counts of at least ``N_COUNTED`` architectures. Otherwise the last network is kept, so that several metrics share
    one build.

    Args:
        space: the space that gives the networks.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._last: tuple[Architecture, nn.Module] | None = None
        self._operations: Outcomes = {}
        self._counted: dict[str, dict[Architecture, int]] = {"params": {}, "macs": {}}
        self._adds_up: dict[str, bool] = {}

    def __call__(self, arch: Architecture) -> nn.Module:
        """Return the network of ``arch``, not to be changed; with values only if it cannot be built without."""
        if self._last is None or self._last[0] != arch:
            with no_garbage_collection(), torch.inference_mode(False), torch.random.fork_rng(devices=[]):
                try:
                    with torch.device("meta"):
                        network = self.space.build(arch)
                except (NotImplementedError, RuntimeError):  # its constructor reads a number out of a tensor
                    network = self.space.build(arch)
            self._last = arch, network
        return self._last[1]

    def count(self, arch: Architecture, name: str) -> int:
        """Return the cost of ``arch`` of that name, "params" or "macs"."""
        return {"params": self.params, "macs": self.macs}[name](arch)

    def params(self, arch: Architecture) -> int:
        """Return the parameters of ``arch``."""
        return self._cost("params", arch, lambda: count_params(self(arch)))

    def macs(self, arch: Architecture) -> int:
        """Return the multiply-adds of ``arch`` for one example."""
        return self._cost("macs", arch, lambda: self._macs(arch))

    def _macs(self, arch: Architecture) -> int:
        model = self(arch)
        try:
            return macs_of(model, lambda: _as_for(model, self.space.example(1, "meta")), MacCounter(self._operations))
        except RaynasError:
            with torch.random.fork_rng(devices=[]):
                model = self.space.build(arch)
            return macs_with_values(model, _as_for(model, self.space.example(1, device_of(model))))

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
        """Choose between counting and adding, once enough was counted to pay for finding the sums."""
        counted = self._counted[name]
        if not isinstance(self.space, ModelSpace):
            self._adds_up[name] = False
        elif len(counted) >= max(N_COUNTED, self.space.n_features // 4):
            sums = self.sums
            self._adds_up[name] = sums is not None and all(sums.of(name, a) == n for a, n in counted.items())
            counted.clear()

    @cached_property
    def sums(self) -> CostSums | None:
        """The additive model of the costs; None where there is none."""
        return cost_sums(self.space)

    def adds_up(self, name: str) -> bool | None:
        """Return whether a cost is added, not counted; None as long as that is undecided."""
        return self._adds_up.get(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None, "_operations": {}}  # Networks need not travel.


def params(candidate: Candidate) -> float:
    """Return the metric "params"."""
    return candidate.params


def macs(candidate: Candidate) -> float:
    """Return the metric "macs"."""
    return candidate.macs
