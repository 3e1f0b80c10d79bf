"""SearchSpace: architectures, and the networks that they mean."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raynas.core.architecture import Architecture, Config, Option
from raynas.core.cell_graph import CellGraph
from raynas.core.coded_decisions import Codes
from raynas.core.decision_space import DecisionSpace
from raynas.core.features import DecisionFeatures
from raynas.core.inputs import Arguments, Inputs, InputSpec, TensorSpec, describe, make_example, varies
from raynas.core.operation_graph import OperationGraph
from raynas.core.space_check import MemberRun, check_members
from raynas.validate import plain_parts


class SearchSpace(DecisionSpace):
    """A set of architectures, and the network that each of them means.

    A subclass gives ``decisions``, ``build`` and ``input_shape``; a catalogue space is a frozen dataclass whose fields
    are the size of its networks, so that ``dataclasses.replace(space, channels=36)`` is the same space made larger.
    Membership, moves (``sample``, ``mutate``, ``crossover``), size and encoding follow from the decisions alone.
    """

    input_shape: tuple[int, ...]
    """Shape of one example without the batch: ``(channels, height, width)`` for images; empty for several inputs."""

    @abstractmethod
    def build(self, arch: Architecture) -> nn.Module:
        """Make the network that ``arch`` means, with fresh weights from torch's global generator.

        Raises:
            SpaceError: if ``arch`` is not a member of the space.
        """

    @property
    def bounds(self) -> tuple[Architecture, Architecture] | None:
        """The members with the fewest and the most parameters and multiply-adds of all; None where none are known."""
        return None

    def summary(self, max_rows: int | None = None) -> str:
        """Return a table of what varies in a model that was given; "" where the user wrote the choices.

        Args:
            max_rows: number of decisions that are listed; None for all.
        """
        return ""

    @property
    def fingerprint(self) -> str:
        """Sixteen digits, equal for two searches of the same networks: of their decisions and their sizes."""
        decisions = [(d.name, list(d.options) or repr(d), sorted(d.active_if.items())) for d in self.decisions]
        sizes: dict[str, object] = {f.name: getattr(self, f.name) for f in fields(self)} if is_dataclass(self) else {}
        named = [self.name, describe(self.inputs), decisions, plain_parts(sizes)]
        text = json.dumps(named, default=repr, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def weights_fingerprint(self) -> str:
        """Sixteen digits of the weights that its networks inherit; "" where networks have fresh ones."""
        return ""

    @property
    def code(self) -> Sequence[object]:
        """The functions and classes that make the networks; a change of those that are the user's is noticed."""
        return (type(self),)

    def param_space(self) -> dict[str, Any]:
        """Return the decisions as Tune domains, for ``param_space={"arch": space.param_space(), ...}``.

        Every decision is in it, active or not, so any Tune searcher can take it; ``canonical`` drops those that do not
        matter afterwards.
        """
        from raynas.core.tune_domains import domain_of

        return {name: domain_of(decision) for name, decision in self._decisions.items()}

    def to_config(self, arch: Architecture) -> Config:
        """Return the Tune config of ``arch``."""
        return {"arch": arch.to_config()}

    def from_config(self, config: Mapping[str, object]) -> Architecture:
        """Return the canonical architecture of a Tune config.

        Raises:
            SpaceError: if it holds none, or one that is not a member.
        """
        return self.canonical(Architecture.from_config(config))

    def point(self, given: Mapping[str, object]) -> Architecture:
        """Read an architecture, or a whole Tune config, as a canonical point of the space.

        Raises:
            SpaceError: if it is not a member.
        """
        return self.from_config(given if "arch" in given else {"arch": given})

    @property
    def architecture_space(self) -> "SearchSpace":
        """The space of the architectures alone: this one, unless hyperparameters are searched jointly."""
        return self

    def architecture(self, point: Architecture) -> Architecture:
        """Return the architecture in a point: the point itself, unless hyperparameters are searched jointly."""
        return point

    @cached_property
    def _features(self) -> DecisionFeatures:
        return DecisionFeatures(list(self._decisions.values()))

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        """Return what a predictor learns from: groups of numbers, each ``(n,)``, by name; see ``DecisionFeatures``.

        A space adds a group for what it knows beyond its decisions. A predictor learns how much each group matters.
        """
        return self._features(arch)

    def features_of(self, codes: Codes) -> Mapping[str, NDArray[np.float64]]:
        """Return the features of many architectures, each group ``(n_archs, n)``.

        Args:
            codes: the architectures, by ``coded.encode``.
        """
        if type(self).features is SearchSpace.features:
            return self._features.of(codes)
        found = [self.features(self.coded.decode(row)) for row in codes]  # a space may know more
        return {name: np.array([features[name] for features in found]) for name in found[0]}

    @property
    def has_twins(self) -> bool:
        """True if different architectures may have the same ``function_key``."""
        return type(self).function_key is not SearchSpace.function_key

    def function_key(self, arch: Architecture) -> Hashable:
        """Return a key that architectures which compute the same function share; by default only equal ones do.

        Training one of them is enough: the scores of the others differ by chance only.
        """
        return arch

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        """Return the cells of ``arch``, from which its picture and its operation graph are made.

        A space of cells overrides this; by default there are none.

        Raises:
            SpaceError: if ``arch`` is not a member of the space.
        """
        return ()

    def operation_graph(self, arch: Mapping[str, Option]) -> OperationGraph:
        """Return the graph that predictors learn from: of the cells, or else a chain with a node for each decision.

        Two architectures with the same graph of cells compute the same function.

        Raises:
            SpaceError: if ``arch`` is not a member of the space.
        """
        if cells := self.cell_graphs(arch):
            return OperationGraph.of_cells(cells)
        options = self.canonical(arch)
        return OperationGraph.chain([d.label(options[d.name]) for d in self._decisions.values() if d.name in options])

    @property
    def inputs(self) -> InputSpec:
        """Description of the inputs of the networks: by default one tensor of real numbers, of ``input_shape``."""
        return TensorSpec(self.input_shape)

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Inputs:
        """Return a batch of examples, made from ``inputs``; a space may override it instead of ``inputs``."""
        return make_example(self.inputs, batch_size, device)

    def example(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Arguments:
        """Return ``example_input`` on the device, ready for a call; always the same values."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # That of the CPU alone: those of GPUs are not restored.
            return Arguments.of(self.example_input(batch_size, device)).to(device)

    def check(self, n_samples: int = 20, seed: int = 0) -> None:
        """Build members that together show every option, run each, and name the cause and the choices that broke.

        They run on the meta device, which costs no memory; on the CPU where they need values, for example because a
        forward pass branches on a number in a tensor.

        Args:
            n_samples: random members tried besides those that show an option not seen yet.
            seed: of the random members.

        Raises:
            SpaceError: if a member cannot be built or run; names the options that only broken members have.
        """

        def examples(device: str) -> list[Arguments]:
            smallest = (
                [Arguments.of(make_example(self.inputs, 2, device, smallest=True))] if varies(self.inputs) else []
            )
            return [self.example(2, device), *smallest]

        check_members(self.name, self.showcase(n_samples, seed), MemberRun(self.build, examples))
