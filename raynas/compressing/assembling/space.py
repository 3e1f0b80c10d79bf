"""AssemblySpace: the networks that a library of blocks makes of a given model, as a search space."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import nn

from raynas.compressing.assembling.alternatives import GIVEN
from raynas.converting.fingerprint import weights_fingerprint_of
from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.inputs import InputSpec
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError


class AssemblySpace(SearchSpace):
    """A given model with one of several modules in the place of each block; the first option is the block itself.

    Args:
        model: the given one; it is not changed.
        options: names of the alternatives of each block, by its path.
        load: gives the module of a block's alternative, a new one at each call.
        inputs: description of the inputs.
        origin: text that is equal for alternatives with the same weights.
    """

    def __init__(
        self,
        model: nn.Module,
        options: Mapping[str, Sequence[str]],
        load: Callable[[str, str], nn.Module],
        inputs: InputSpec,
        origin: str = "",
    ) -> None:
        self._model, self._load, self._inputs, self._origin = model, load, inputs, origin
        self.input_shape = ()
        self._decisions_list = [Categorical(path, (GIVEN, *names)) for path, names in options.items()]

    @property
    def name(self) -> str:
        """Class of the given model."""
        return type(self._model).__name__

    @property
    def decisions(self) -> Sequence[Decision]:
        """The blocks."""
        return self._decisions_list

    @property
    def inputs(self) -> InputSpec:
        """Description of the inputs."""
        return self._inputs

    @property
    def natural_baseline(self) -> Architecture:
        """The given model."""
        return self.default

    @property
    def weights_fingerprint(self) -> str:
        """Sixteen digits of the weights of the given model; those of the alternatives follow from their library."""
        return weights_fingerprint_of(self._model)

    @property
    def fingerprint(self) -> str:
        """Sixteen digits, equal for two libraries of the same model with the same alternatives."""
        return hashlib.sha256(f"{super().fingerprint} {self.weights_fingerprint} {self._origin}".encode()).hexdigest()[
            :16
        ]

    @property
    def code(self) -> Sequence[object]:
        """The classes of the given model and its parts, whose ``forward`` the weights do not show."""
        return tuple(dict.fromkeys(type(module) for module in self._model.modules()))

    def of(self, choices: Mapping[str, Option]) -> Architecture:
        """Return the architecture of some choices; blocks that they leave out stay as they are."""
        return self.canonical({**self.default, **choices})

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Return a copy of the given model with the chosen modules, plain PyTorch, in its mode.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        chosen = {path: str(name) for path, name in self.canonical(dict(arch)).items() if name != GIVEN}
        with torch.device("cpu"):  # Weights cannot be read under the meta device, on which others are built for counts.
            return replaced(self._model, {path: self._load(path, name) for path, name in chosen.items()})


def replaced(model: nn.Module, modules: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of a model with modules in the places of its blocks; they are used as they are."""
    # What is replaced need not be copied.
    memo: dict[int, object] = {id(model.get_submodule(path)): module for path, module in modules.items()}
    clone = copy.deepcopy(model, memo)
    for path, module in modules.items():
        module.train(model.get_submodule(path).training)
    return clone


def given_alone(model: nn.Module, blocks: Iterable[str], inputs: InputSpec) -> AssemblySpace:
    """Return the space of a model none of whose blocks has an alternative."""

    def none(path: str, name: str) -> nn.Module:
        raise SpaceError(f"{path} has no alternative {name!r}")

    return AssemblySpace(model, {path: () for path in blocks}, none, inputs)
