"""Costs of a network: parameters, multiply-adds, activations, memory and size, without computing anything."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.inputs import Arguments, Inputs, InputSpec, as_spec, make_example
from raynas.core.metric import Candidate
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.composed_costs import ComposedCosts
from raynas.metrics.cost_sums import CostSums, cost_sums
from raynas.metrics.inference_memory import MemoryTrace
from raynas.metrics.mac_counter import (
    MacCounter,
    Outcomes,
    no_garbage_collection,
    run_with_values,
    run_without_values,
)
from raynas.nn.model_space import ModelSpace
from raynas.nn.stand_ins import device_of, is_bare

N_COUNTED = 20
"""Number of exact counts that a model of the costs has to reproduce."""


C = TypeVar("C", bound=MacCounter)


class CostModel(Protocol):
    """Costs of the members of a space, without their networks."""

    def of(self, metric: str, arch: Mapping[str, Option]) -> int:
        """Return the cost of a member; raise KeyError if the model does not know it."""


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
    return _counted(model, inputs, MacCounter).macs


def count_activations(model: nn.Module, inputs: InputSpec | Sequence[int]) -> int:
    """Return the number of activations of ``model`` for one example, in eval mode.

    They are the elements of the outputs of convolutions and of matrix products, linear layers and attention among them,
    whose multiply-adds ``count_macs`` counts. Radosavovic et al. (CVPR 2020) count those of convolutions, and find that
    they tell more about the time on accelerators, which memory often limits, than multiply-adds do.

    Args:
        model: see ``count_macs``.
        inputs: see ``count_macs``.

    Raises:
        RaynasError: if the model cannot run.
    """
    return _counted(model, inputs, MacCounter).activations


def inference_memory(model: nn.Module, inputs: InputSpec | Sequence[int]) -> int:
    """Return the peak of the memory that inference of one example needs beside the weights, in bytes.

    It is that of activations, inputs and outputs by their lifetimes over the order of operations, see ``MemoryTrace``.
    Operations are those of PyTorch: its max pooling also puts out the indices of the maxima, for instance. A model
    needs values only where ``count_macs`` does.

    Args:
        model: see ``count_macs``.
        inputs: see ``count_macs``.

    Raises:
        RaynasError: if the model cannot run.
    """
    return _counted(model, inputs, MemoryTrace).peak


def size_on_disk(model: nn.Module) -> int:
    """Return the number of bytes of the values in the state dict of ``model``: parameters and lasting buffers.

    Each has the size of its type, and one that has several names counts once, as in a file that ``torch.save`` writes;
    such a file is some kB larger, for names and shapes.
    """
    tensors = [value for value in model.state_dict(keep_vars=True).values() if isinstance(value, torch.Tensor)]
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in tensors}.values())


def _counted(model: nn.Module, inputs: InputSpec | Sequence[int], kind: Callable[[Outcomes | None], C]) -> C:
    """Return a counter of that kind after a forward pass, without values if that is possible."""
    spec = as_spec(inputs)

    def example(device: str | torch.device) -> Arguments:
        return _as_for(model, make_example(spec, 1, device))

    counter = kind({})
    try:
        run_without_values(model, lambda: example("meta"), counter)
    except RaynasError:
        if is_bare(model):
            raise
        counter = kind(None)
        run_with_values(model, example(device_of(model)), counter)
    return counter


def _as_for(model: nn.Module, inputs: Inputs) -> Arguments:
    """Return inputs in the floating-point type of the model's parameters."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    arguments = Arguments.of(inputs)
    return arguments.map_real(lambda tensor: tensor.to(dtype)) if dtype else arguments


class MetaModels:
    """The networks of a space on the meta device, and their costs.

    Costs of a model with choices are composed of those of its modules (see ``composed_costs``) as soon as that has
    reproduced the counts of ``N_COUNTED`` architectures, and added over its choices where that reproduces the costs of
    the architectures until then (see ``cost_sums``). Otherwise they are counted, and the last network is kept, so that
    several metrics share one build.

    Args:
        space: the space that gives the networks.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._last: tuple[Architecture, nn.Module] | None = None
        self._operations: Outcomes = {}
        self._counted: dict[str, dict[Architecture, int]] = {"params": {}, "macs": {}}
        self._trusted: dict[str, CostModel] = {}
        self._is_decided: set[str] = set()

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
        """Return the cost of ``arch`` of the name of one of the methods below."""
        counts = {
            "params": self.params,
            "macs": self.macs,
            "activations": self.activations,
            "inference_memory": self.inference_memory,
        }
        return counts[name](arch)

    def params(self, arch: Architecture) -> int:
        """Return the parameters of ``arch``."""
        return self._cost("params", arch, lambda: count_params(self(arch)))

    def macs(self, arch: Architecture) -> int:
        """Return the multiply-adds of ``arch`` for one example."""
        return self._cost("macs", arch, lambda: self._counted_of(arch, MacCounter).macs)

    def activations(self, arch: Architecture) -> int:
        """Return the activations of ``arch`` for one example, see ``count_activations``."""
        return self._counted_of(arch, MacCounter).activations

    def inference_memory(self, arch: Architecture) -> int:
        """Return the peak of the memory of ``arch`` for one example in bytes, see ``inference_memory``."""
        return self._counted_of(arch, MemoryTrace).peak

    def _counted_of(self, arch: Architecture, kind: Callable[[Outcomes | None], C]) -> C:
        model, counter = self(arch), kind(self._operations)
        try:
            run_without_values(model, lambda: _as_for(model, self.space.example(1, "meta")), counter)
        except RaynasError:
            with torch.random.fork_rng(devices=[]):
                model = self.space.build(arch)
            counter = kind(None)
            run_with_values(model, _as_for(model, self.space.example(1, device_of(model))), counter)
        return counter

    def _cost(self, name: str, arch: Architecture, count: Callable[[], int]) -> int:
        cost = None
        if name in self._trusted:
            with suppress(KeyError):  # No member: building it says why not.
                cost = self._trusted[name].of(name, arch)
        if cost is None:
            cost = count()
        if name not in self._is_decided:
            self._counted[name][arch] = cost
            self._compare(name)
        return cost

    def _compare(self, name: str) -> None:
        """Choose between counting, composing and adding, once enough is known to check each and to pay for sums."""
        costs = self._counted[name]
        models: list[CostModel | None] = []
        if not isinstance(self.space, ModelSpace):
            self._is_decided.add(name)
        elif len(costs) >= max(N_COUNTED, self.space.n_features // 4):
            models = [self.sums, self.composed]
            self._is_decided.add(name)
        elif len(costs) == N_COUNTED and name not in self._trusted:
            models = [self.composed]
        if right := next((model for model in models if model is not None and _reproduces(model, name, costs)), None):
            self._trusted[name] = right
        if name in self._is_decided:
            costs.clear()

    @cached_property
    def sums(self) -> CostSums | None:
        """The additive model of the costs; None where there is none."""
        return cost_sums(self.space)

    @cached_property
    def composed(self) -> ComposedCosts | None:
        """The model that composes the costs of modules; None where the space has none."""
        if isinstance(self.space, ModelSpace) and type(self.space).build is ModelSpace.build:
            return ComposedCosts(self.space)
        return None

    def is_cheap(self, name: str) -> bool | None:
        """Return whether a cost is composed or added, not counted; None as long as that is undecided."""
        if name in self._trusted:
            return True
        return False if name in self._is_decided else None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None, "_operations": {}}  # Networks need not travel.


def _reproduces(model: CostModel, name: str, costs: Mapping[Architecture, int]) -> bool:
    try:
        return all(model.of(name, arch) == cost for arch, cost in costs.items())
    except KeyError:
        return False


def params(candidate: Candidate) -> float:
    """Return the metric "params"."""
    return candidate.params


def macs(candidate: Candidate) -> float:
    """Return the metric "macs"."""
    return candidate.macs


def activations(candidate: Candidate) -> float:
    """Return the metric "activations"."""
    return candidate.count("activations")


def inference_memory_mb(candidate: Candidate) -> float:
    """Return the metric "inference_memory_mb"."""
    return candidate.count("inference_memory") / 1e6


def size_mb(candidate: Candidate) -> float:
    """Return the metric "size_mb"."""
    return size_on_disk(candidate.model) / 1e6
