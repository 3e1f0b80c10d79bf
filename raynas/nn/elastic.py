"""Layers whose width or kernel is a decision: a supernet holds the largest, and smaller ones are slices of it.

Width by slicing after Yu et al., "Slimmable Neural Networks" (ICLR 2019, arXiv:1812.08928); kernels by centre crop and
a learned transformation after Cai et al., "Once-for-All" (ICLR 2020, arXiv:1908.09791). The number of input channels of
a layer follows from its input, so only layers that set a width name a decision.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.extraction import current_extraction, plain_deepcopy
from raynas.nn.selection import Mixture, current_call
from raynas.validate import plain

Sizes = Mapping[str, int]
"""Numbers of a layer, fixed or chosen, by the argument of its constructor."""


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``, never down by more than a tenth (Sandler et al. 2018)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class Size(DecisionModule):
    """A choice of numbers, given to an elastic layer in place of a fixed number.

    Args:
        options: the numbers, or the values from which ``of`` computes them.
        label: name of the decision, for layers that share one; the path of the layer and its argument if None, as in
            "body.conv.kernel_size".
        of: ``of(option, n_in)`` gives the number for ``n_in`` input channels; None if options are the numbers.

    Raises:
        SpaceError: if there is no option, two are equal, or one is no positive number.
    """

    def __init__(
        self, options: Sequence[int | float], label: str | None = None, of: Callable[[Any, int], int] | None = None
    ) -> None:
        super().__init__({}, label)
        numbers = tuple(cast(float, plain(option)) for option in options)
        if not numbers or len(set(numbers)) != len(numbers) or any(isinstance(o, str) or o <= 0 for o in numbers):
            raise SpaceError(f"a Size needs different positive numbers to choose from, got {numbers}")
        self.options = numbers
        self.of = of

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, self.options, active_if=active_if)

    @property
    def alternatives(self) -> Sequence[Option]:
        """The options."""
        return self.options

    def value(self, option: Option, n_in: int) -> int:
        """Return the number that an option gives for ``n_in`` input channels."""
        return int(option) if self.of is None else self.of(option, n_in)

    def assemble(self, option: Option, branch_of: Callable[[str], nn.Module]) -> NoReturn:
        raise SpaceError("a Size decides a number of an elastic layer; it is no module by itself")

    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> NoReturn:
        raise SpaceError("a Size decides a number of an elastic layer; it is no module by itself")

    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> NoReturn:
        raise SpaceError("a Size decides a number of an elastic layer; it is no module by itself")

    def extra_repr(self) -> str:
        """Return the options, which ``print(model)`` shows."""
        return ", ".join(map(str, self.options))


class Numbers(Size):
    """A choice of numbers that may be 0, such as a depth or a rank.

    Args:
        options: the numbers.
        label: name of the decision.
    """

    def __init__(self, options: Sequence[int], label: str) -> None:
        DecisionModule.__init__(self, {}, label)
        self.options, self.of = tuple(options), None


def ratio(options: Sequence[float], label: str | None = None, divisor: int = 8) -> Size:
    """Return a choice of widths as multiples of the number of input channels, such as the expansion of a bottleneck.

    Args:
        options: the multiples.
        label: as for ``Size``.
        divisor: widths are made divisible by it.
    """
    return Size(options, label, partial(_times, divisor))


def _times(divisor: int, option: float, n_in: int) -> int:  # not a lambda: spaces are pickled
    return make_divisible(option * n_in, divisor)


class ElasticLayer(nn.Module, ABC):
    """A layer with sizes that are decisions, and a number of input channels that follows from its input.

    Like a ``Choice`` it holds no weights in a model with choices. In a supernet ``expand`` gives it ``shared``, the
    largest layer, and the names of its decisions; in a network it is replaced by a plain layer.

    Args:
        n_in: maximum number of input channels.
        sizes: by argument name, fixed numbers and choices.
    """

    shared: nn.Module

    def __init__(self, n_in: int, **sizes: int | Size) -> None:
        super().__init__()
        self.n_in = n_in
        self.fixed = {name: size for name, size in sizes.items() if not isinstance(size, Size)}
        for name, size in sizes.items():
            if isinstance(size, Size):
                self.add_module(name, size)
        self.names: dict[str, str] = {}

    @abstractmethod
    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        """Return a new plain layer for ``n_in`` input channels."""

    @abstractmethod
    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        """Return the weights of the plain layer, by their names there: views of the shared ones wherever possible."""

    @abstractmethod
    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        """Compute the output of the plain layer with shared weights, or of a mixture of sizes."""

    @property
    def size_choices(self) -> Mapping[str, Size]:
        """The sizes that are decisions, by argument name."""
        # named_children() would hide a second argument with the same Size.
        return {name: child for name, child in self._modules.items() if isinstance(child, Size)}

    def sizes(self, options: Mapping[str, Option], n_in: int) -> dict[str, int]:
        """Return all sizes as numbers.

        Args:
            options: of the sizes that are decisions, by argument name.
            n_in: number of input channels.
        """
        return {**self.fixed, **{name: size.value(options[name], n_in) for name, size in self.size_choices.items()}}

    @property
    def largest(self) -> dict[str, int]:
        """The largest number of each size, which the shared weights have."""
        choices = self.size_choices.items()
        return {**self.fixed, **{n: max(s.value(o, self.n_in) for o in s.options) for n, s in choices}}

    def expand(self, names: Mapping[str, str]) -> None:
        """Make the shared weights.

        Args:
            names: of the decisions, by argument name.
        """
        self.names = dict(names)
        self.shared = self.plain(self.n_in, self.largest)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sizes that the current call selects.

        Raises:
            SpaceError: outside a supernet's call, if there are more input channels than announced or not as many as
                elsewhere in this call, or if a mixture has not one weight for each option.
        """
        call, n_in = current_call(), self.width_of(x)
        if n_in > self.n_in:
            raise SpaceError(f"{n_in} channels reach an {type(self).__name__} that was made for at most {self.n_in}")
        if call.widths.setdefault(self, n_in) != n_in:
            raise SpaceError(f"{call.widths[self]} and {n_in} channels reach the same {type(self).__name__}")
        selected = {name: call.of(decision) for name, decision in self.names.items()}
        mixtures = {name: chosen for name, chosen in selected.items() if isinstance(chosen, Mixture)}
        options = {n: self._largest_of(n, c, n_in) if isinstance(c, Mixture) else c for n, c in selected.items()}
        sizes = call.sizes.get(self) or (self.sizes(options, n_in) if options else self.fixed)
        return self.outline(x, sizes) if call.shapes_only else self.run(x, sizes, mixtures)

    def outline(self, x: Tensor, sizes: Sizes) -> Tensor:
        """Return any tensor of the output's shape: by default ``x``."""
        return x

    def _largest_of(self, name: str, mixture: Mixture, n_in: int) -> Option:
        """Return the active option of the largest number; the others are computed inside it."""
        size = self.size_choices[name]
        if len(mixture) != len(size.options):
            raise SpaceError(
                f"decision {self.names[name]!r} has {len(size.options)} alternatives, got {len(mixture)} weights"
            )
        return max((size.options[i] for i in mixture.indices), key=lambda option: size.value(option, n_in))

    def mask(self, name: str, mixture: Mixture, n_in: int, n_out: int) -> Tensor:
        """Return the total weight of the widths that contain each of ``n_out`` channels (Wan et al., CVPR 2020)."""
        size, channels = self.size_choices[name], torch.arange(n_out, device=mixture.weights.device)
        masks = [mixture.weights[i] * (channels < size.value(size.options[i], n_in)) for i in mixture.indices]
        return torch.stack(masks).sum(0)

    def width_of(self, x: Tensor) -> int:
        """Return the number of channels of an input: by default its dimension 1."""
        return x.shape[1]

    def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
        extraction = current_extraction()
        if extraction is None:
            return plain_deepcopy(self, memo)
        if self not in extraction.widths:
            raise SpaceError(f"an {type(self).__name__} is never reached by a forward pass of the subnet")
        options = {argument: extraction.option(name) for argument, name in self.names.items()}
        plain = self._extracted(extraction.widths[self], options, extraction.copy)
        memo[id(self)] = plain
        return plain

    def _extracted(self, n_in: int, options: Mapping[str, Option], copy: bool) -> nn.Module:
        """Return the plain layer with its slice of the shared weights."""
        sizes = self.sizes(options, n_in)
        with torch.device("meta"):
            layer = self.plain(n_in, sizes)
        weights = {name: tensor.detach() for name, tensor in self.sliced(n_in, sizes).items()}
        shared = {} if copy else dict(layer.named_parameters())  # A subnet never shares statistics.
        layer.load_state_dict({n: t if n in shared else t.clone() for n, t in weights.items()}, assign=True)
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(self.shared.get_parameter(name).requires_grad)
        return layer.train(self.training)
