"""A model with choices, opened: every choice holds all its parts, and computes what a call selects."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn.choice import Choice, DecisionModule, Part
from raynas.nn.discovery import decision_name, join, open_places
from raynas.nn.elastic import ElasticLayer
from raynas.nn.extraction import current_closing, plain_deepcopy
from raynas.nn.selection import Mixture, current_call


class OpenChoice(nn.Module):
    """A decision in a supernet: all parts under their names, of which a call runs what it selects.

    Args:
        choice: what is decided.
        name: of the decision.
        parts: by name.
        k: the share of the channels that goes through, as 1/k; the others pass by (Xu et al., "PC-DARTS", ICLR 2020,
            arXiv:1907.05737).
    """

    def __init__(self, choice: DecisionModule, name: str, parts: Mapping[str, nn.Module], k: int = 1) -> None:
        super().__init__()
        object.__setattr__(self, "choice", choice)  # Not a submodule: it has no weights, and is no open place.
        self.choice: DecisionModule
        self.name = name
        self.k = k
        # add_module refuses names that nn.Module has, such as "half"; an option may have any name.
        self._modules.update(parts)

    def part(self, name: str) -> nn.Module:
        """The part of a name."""
        part = self._modules.get(name)
        if part is None:
            raise SpaceError(f"decision {self.name!r} has no {name!r}; it has {', '.join(self._modules)}")
        return part

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Compute what the call selects."""
        selected = current_call().of(self.name)
        part = partial(self._part_given, named) if named else self.part
        if self.k > 1:
            return self._partial(selected, part, *inputs)
        return self._compute(selected, part, *inputs)

    def _part_given(self, named: Mapping[str, Any], name: str) -> Any:
        """The part of a name, given the arguments that have names themselves."""
        if not isinstance(self.choice, Choice):
            raise TypeError(f"decision {self.name!r} takes no named arguments, got {', '.join(named)}")
        return partial(self.part(name), **named)

    def _compute(self, selected: Option | Mixture, part: Part, *inputs: Any) -> Any:
        if not isinstance(selected, Mixture):
            return self.choice.run(selected, part, *inputs)
        if len(selected) != len(self.choice.ways):
            raise SpaceError(
                f"decision {self.name!r} has {len(self.choice.ways)} ways to weigh, got {len(selected)} weights"
            )
        return self.choice.mix(selected, part, *inputs)

    def _partial(self, selected: Option | Mixture, part: Part, x: Tensor) -> Tensor:
        n = x.shape[1] // self.k
        if n * self.k != x.shape[1]:
            raise SpaceError(f"{x.shape[1]} channels at {self.name!r} cannot be split into {self.k} equal parts")
        out: Tensor = self._compute(selected, part, x[:, :n])
        rest = x[:, n:]
        if out.shape[2:] != rest.shape[2:]:
            rest = nn.functional.max_pool2d(rest, 2, 2, ceil_mode=True)
        # Shuffled, so that the next operation sees a mixture of both kinds.
        shuffled: Tensor = torch.cat([out, rest], dim=1).unflatten(1, (self.k, n)).transpose(1, 2).flatten(1, 2)
        return shuffled

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        closing = current_closing()
        if closing is None:
            return plain_deepcopy(self, memo)
        if self.k > 1:
            raise SpaceError("a supernet of partial channels has no whole subnets to extract: build(arch) makes them")
        option = closing.option(self.name)
        closed = self.choice.assemble(option, lambda part: copy.deepcopy(self.part(part), memo))
        if not isinstance(self.choice, Choice):  # Whose candidate has a mode of its own.
            closed.training = self.training
        memo[id(self)] = closed
        return closed


def opened(model: nn.Module, path: str = "", partial_channels: int = 1) -> nn.Module:
    """Open every choice and elastic layer in ``model``, and in their parts; in place.

    Args:
        model: holds the choices; may be a choice itself.
        path: where it sits.
        partial_channels: k, of which 1/k of the channels go through the choices that can be narrow.

    Returns:
        ``model``, or what it became if it is a choice.
    """
    return _Opener(partial_channels).opened(model, path)


class _Opener:
    """Remembers what was opened: a choice in several places has its parts once."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.done: dict[nn.Module, nn.Module] = {}

    def opened(self, module: nn.Module, path: str) -> nn.Module:
        if not isinstance(module, DecisionModule | ElasticLayer):
            for parent, attribute, child, place in list(open_places(module, path)):
                setattr(parent, attribute, self.opened(child, place))
            return module
        if module not in self.done:
            self.done[module] = self._choice(module, path) if isinstance(module, DecisionModule) else module
            if isinstance(module, ElasticLayer):
                sizes = module.open_sizes.items()
                module.open({argument: decision_name(size, join(path, argument)) for argument, size in sizes})
        return self.done[module]

    def _choice(self, choice: DecisionModule, path: str) -> OpenChoice:
        k = self.k if isinstance(choice, Choice) and choice.narrow is not None else 1
        source = choice.narrowed(k) if isinstance(choice, Choice) and k > 1 else choice
        parts = {part: self.opened(source.make(part), join(path, part)) for part in source.factories}
        return OpenChoice(choice, decision_name(choice, path), parts, k)
