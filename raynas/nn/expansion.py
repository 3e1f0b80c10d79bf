"""Expansion of a model: every choice holds all its branches and computes the selected ones."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.discovery import decision_name, join, undecided_modules
from raynas.nn.elastic import ElasticLayer
from raynas.nn.extraction import current_extraction, plain_deepcopy
from raynas.nn.input_choice import InputChoice
from raynas.nn.selection import Mixture, current_call


class ExpandedChoice(nn.Module):
    """A choice in a supernet: all branches under their names, of which a call runs the selected ones.

    Args:
        choice: the choice that it replaces.
        name: of the decision.
        branches: by name.
        k: the branches process 1/k of the channels, and the others bypass them (Xu et al., "PC-DARTS", ICLR 2020,
            arXiv:1907.05737).
    """

    def __init__(self, choice: DecisionModule, name: str, branches: Mapping[str, nn.Module], k: int = 1) -> None:
        super().__init__()
        object.__setattr__(self, "choice", choice)  # Not a submodule: it has no weights, and is not undecided here.
        self.choice: DecisionModule
        self.name = name
        self.k = k
        # add_module refuses names that nn.Module has, such as "half"; an option may have any name.
        self._modules.update(branches)

    def branch(self, name: str) -> nn.Module:
        """Return the branch of a name.

        Raises:
            SpaceError: if there is none.
        """
        branch = self._modules.get(name)
        if branch is None:
            raise SpaceError(f"decision {self.name!r} has no {name!r}; it has {', '.join(self._modules)}")
        return branch

    def forward(self, *inputs: object, **named: object) -> object:
        """Compute what the current call selects."""
        return current_call().run(self, *inputs, **named)

    def compute(self, selected: Option | Mixture, *inputs: object, **named: object) -> object:
        """Compute an option or a mixture.

        Args:
            selected: one option, or weights for the alternatives.
            inputs: arguments of the chosen module.
            named: keyword arguments of the chosen module, or of each block of a ``Repeat``.

        Raises:
            SpaceError: if a mixture does not have one weight for each alternative, or channels cannot be split.
            TypeError: if there are keyword arguments, and this is an ``InputChoice``.
        """
        branch_of = self._with_keywords(named) if named else self.branch
        if self.k > 1:
            return self._partial_channels(selected, branch_of, *inputs)
        return self._compute(selected, branch_of, *inputs)

    def _with_keywords(self, named: Mapping[str, object]) -> BranchOf:
        """Return a lookup of branches whose keyword arguments are given already."""
        if isinstance(self.choice, InputChoice):
            raise TypeError(f"decision {self.name!r} takes no named arguments, got {', '.join(named)}")
        return lambda name: partial(self.branch(name), **named)

    def _compute(self, selected: Option | Mixture, branch_of: BranchOf, *inputs: object) -> object:
        if not isinstance(selected, Mixture):
            return self.choice.run(selected, branch_of, *inputs)
        if len(selected) != len(self.choice.alternatives):
            raise SpaceError(
                f"decision {self.name!r} has {len(self.choice.alternatives)} alternatives, got {len(selected)} weights"
            )
        return self.choice.mix(selected, branch_of, *inputs)

    def _partial_channels(self, selected: Option | Mixture, branch_of: BranchOf, *inputs: object) -> Tensor:
        (x,) = cast(tuple[Tensor], inputs)
        n = x.shape[1] // self.k
        if n * self.k != x.shape[1]:
            raise SpaceError(f"{x.shape[1]} channels at {self.name!r} cannot be split into {self.k} equal parts")
        out = cast(Tensor, self._compute(selected, branch_of, x[:, :n]))
        rest = x[:, n:]
        if out.shape[2:] != rest.shape[2:]:
            rest = nn.functional.max_pool2d(rest, 2, 2, ceil_mode=True)
        # Shuffled, so that the next operation sees a mixture of both kinds.
        shuffled: Tensor = torch.cat([out, rest], dim=1).unflatten(1, (self.k, n)).transpose(1, 2).flatten(1, 2)
        return shuffled

    def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
        extraction = current_extraction()
        if extraction is None:
            return plain_deepcopy(self, memo)
        if self.k > 1:
            raise SpaceError("a supernet of partial channels has no whole subnets to extract: build(arch) makes them")
        option = extraction.option(self.name)
        plain = self.choice.assemble(option, lambda branch: copy.deepcopy(self.branch(branch), memo))
        if not isinstance(self.choice, Choice):  # A candidate of a Choice keeps its own mode.
            plain.training = self.training
        memo[id(self)] = plain
        return plain


def expand(model: nn.Module, path: str = "", partial_channels: int = 1) -> nn.Module:
    """Expand every choice and elastic layer in ``model``, and in their branches; in place.

    Args:
        model: holds the choices; may be a choice itself.
        path: its dotted path.
        partial_channels: k; choices that can be narrow process 1/k of the channels.

    Returns:
        ``model``, or its expansion if it is a choice.
    """
    return _Expansion(partial_channels).expanded(model, path)


class _Expansion:
    """Remembers the expanded modules: a choice that several attributes hold is expanded once."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.done: dict[nn.Module, nn.Module] = {}

    def expanded(self, module: nn.Module, path: str) -> nn.Module:
        """Expand a module and return the module that takes its position."""
        if not isinstance(module, DecisionModule | ElasticLayer):
            for undecided in list(undecided_modules(module, path)):
                setattr(undecided.parent, undecided.attribute, self.expanded(undecided.module, undecided.path))
            return module
        if module not in self.done:
            self.done[module] = self._choice(module, path) if isinstance(module, DecisionModule) else module
            if isinstance(module, ElasticLayer):
                sizes = module.size_choices.items()
                module.expand({argument: decision_name(size, join(path, argument)) for argument, size in sizes})
        return self.done[module]

    def _choice(self, choice: DecisionModule, path: str) -> ExpandedChoice:
        k = self.k if isinstance(choice, Choice) and choice.narrow is not None else 1
        source = choice.narrowed(k) if isinstance(choice, Choice) and k > 1 else choice
        branches = {name: self.expanded(source.make(name), join(path, name)) for name in source.factories}
        return ExpandedChoice(choice, decision_name(choice, path), branches, k)
