"""Layers whose width or kernel is a decision: a supernet holds the largest, and smaller ones are slices of it.

Width by slicing after Yu et al., "Slimmable Neural Networks" (ICLR 2019, arXiv:1812.08928); kernels by centre crop and
a learned transformation after Cai et al., "Once-for-All" (ICLR 2020, arXiv:1908.09791). A layer takes as many channels
as reach it, so only layers that set a width name a decision.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.choice import DecisionModule, Part
from raynas.nn.extraction import current_closing, plain_deepcopy
from raynas.nn.selection import Mixture, current_call

Sizes = Mapping[str, int]
"""The numbers of a layer that were decided or fixed, by the name of the constructor's argument."""


def make_divisible(value: float, divisor: int = 8) -> int:
    """``value`` rounded to a multiple of ``divisor``, never down by more than a tenth (Sandler et al. 2018)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class Size(DecisionModule):
    """A number that is to be decided, given to an elastic layer in place of a fixed one.

    Args:
        options: the numbers, or whatever ``of`` makes numbers from.
        label: name of the decision, for layers that share one; the path of the layer and its argument if None, as in
            "body.conv.kernel_size".
        of: ``of(option, n_in)`` gives the number where ``n_in`` channels come in; None if options are the numbers.

    Raises:
        SpaceError: if there is no option, two are equal, or one is no positive number.
    """

    def __init__(
        self, options: Sequence[int | float], label: str | None = None, of: Callable[[Any, int], int] | None = None
    ) -> None:
        super().__init__({}, label)
        numbers = tuple(options)
        if not numbers or len(set(numbers)) != len(numbers) or any(isinstance(o, str) or o <= 0 for o in numbers):
            raise SpaceError(f"a Size needs different positive numbers to choose from, got {numbers}")
        self.options = numbers
        self.of = of

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, self.options, active_if=active_if)

    @property
    def ways(self) -> Sequence[Option]:
        """The options."""
        return self.options

    def value(self, option: Option, n_in: int) -> int:
        """The number that an option means where ``n_in`` channels come in."""
        return int(option) if self.of is None else self.of(option, n_in)

    def assemble(self, option: Option, part: Part) -> nn.Module:
        raise SpaceError("a Size decides a number of an elastic layer; it is no module by itself")

    def run(self, option: Option, part: Part, *inputs: Any) -> Any:
        return self.assemble(option, part)

    def mix(self, mixture: Mixture, part: Part, *inputs: Any) -> Tensor:
        raise SpaceError("a Size decides a number of an elastic layer; it is no module by itself")

    def extra_repr(self) -> str:
        """The options, as ``print(model)`` shows them."""
        return ", ".join(map(str, self.options))


def ratio(options: Sequence[float], label: str | None = None, divisor: int = 8) -> Size:
    """A width that is to be decided as a multiple of the incoming one, such as the expansion of a bottleneck.

    Args:
        options: the multiples.
        label: as for ``Size``.
        divisor: widths are made divisible by it.
    """
    return Size(options, label, partial(_times, divisor))


def _times(divisor: int, option: float, n_in: int) -> int:
    return make_divisible(option * n_in, divisor)


class ElasticLayer(nn.Module, ABC):
    """A layer with sizes that are open, and an input width that follows from what reaches it.

    Like a ``Choice`` it holds no weights in a model with choices. In a supernet ``open`` gives it those of the largest
    layer, ``shared``, and ``name_sizes`` the names of its decisions; in a network it is replaced by a plain layer.

    Args:
        n_in: the most channels that reach it.
        sizes: by argument name, fixed numbers and open ones.
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
        """A new plain layer for ``n_in`` incoming channels."""

    @abstractmethod
    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        """The part of the shared weights that the plain layer has, under its names; views wherever possible."""

    @abstractmethod
    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        """What the plain layer computes, with shared weights; ``mixtures`` of sizes are computed as such."""

    @property
    def open_sizes(self) -> Mapping[str, Size]:
        """The sizes that are decisions, by argument name."""
        # named_children() would hide a second argument with the same Size.
        return {name: child for name, child in self._modules.items() if isinstance(child, Size)}

    def sizes(self, options: Mapping[str, Option], n_in: int) -> dict[str, int]:
        """All sizes as numbers, given the options of the open ones by argument name."""
        return {**self.fixed, **{name: size.value(options[name], n_in) for name, size in self.open_sizes.items()}}

    @property
    def largest(self) -> dict[str, int]:
        """The largest number of each size, which the shared weights have."""
        open_sizes = self.open_sizes.items()
        return {**self.fixed, **{n: max(s.value(o, self.n_in) for o in s.options) for n, s in open_sizes}}

    def open(self, names: Mapping[str, str]) -> None:
        """Make the shared weights; ``names`` are those of the decisions by argument name."""
        self.names = dict(names)
        self.shared = self.plain(self.n_in, self.largest)

    def forward(self, x: Tensor) -> Tensor:
        """Compute what the supernet's selection says.

        Raises:
            SpaceError: outside a supernet's call, if more channels come in than were announced, or not as many as at
                another place in this call, or if a mixture has not one weight for each option.
        """
        call, n_in = current_call(), self._width(x)
        if n_in > self.n_in:
            raise SpaceError(f"{n_in} channels reach an {type(self).__name__} that was made for at most {self.n_in}")
        if call.widths.setdefault(self, n_in) != n_in:
            raise SpaceError(f"{call.widths[self]} and {n_in} channels reach the same {type(self).__name__}")
        selected = {name: call.of(decision) for name, decision in self.names.items()}
        mixtures = {name: chosen for name, chosen in selected.items() if isinstance(chosen, Mixture)}
        options = {n: self._most(n, c, n_in) if isinstance(c, Mixture) else c for n, c in selected.items()}
        sizes = self.sizes(options, n_in) if options else self.fixed
        return self.outline(x, sizes) if call.shapes_only else self.run(x, sizes, mixtures)

    def outline(self, x: Tensor, sizes: Sizes) -> Tensor:
        """Some tensor of the shape that ``run`` would put out: by default that of ``x``."""
        return x

    def _most(self, name: str, mixture: Mixture, n_in: int) -> Option:
        """Of a mixture, the active option of the largest number: the others are computed inside it."""
        size = self.open_sizes[name]
        if len(mixture) != len(size.options):
            raise SpaceError(
                f"decision {self.names[name]!r} has {len(size.options)} ways to weigh, got {len(mixture)} weights"
            )
        return max((size.options[i] for i in mixture.indices), key=lambda option: size.value(option, n_in))

    def mask(self, name: str, mixture: Mixture, n_in: int, n_out: int) -> Tensor:
        """The share of a mixture of widths in which each of ``n_out`` channels exists (Wan et al., CVPR 2020)."""
        size, channels = self.open_sizes[name], torch.arange(n_out, device=mixture.weights.device)
        masks = [mixture.weights[i] * (channels < size.value(size.options[i], n_in)) for i in mixture.indices]
        return torch.stack(masks).sum(0)

    def _width(self, x: Tensor) -> int:
        return x.shape[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        closing = current_closing()
        if closing is None:
            return plain_deepcopy(self, memo)
        if self not in closing.widths:
            raise SpaceError(f"an {type(self).__name__} is never reached by a forward pass of the subnet")
        options = {argument: closing.option(name) for argument, name in self.names.items()}
        memo[id(self)] = self._closed(closing.widths[self], options, closing.copy)
        return memo[id(self)]  # type: ignore[no-any-return]

    def _closed(self, n_in: int, options: Mapping[str, Option], copy: bool) -> nn.Module:
        """The plain layer with its part of the shared weights."""
        sizes = self.sizes(options, n_in)
        with torch.device("meta"):
            layer = self.plain(n_in, sizes)
        weights = {name: tensor.detach() for name, tensor in self.sliced(n_in, sizes).items()}
        shared = {} if copy else dict(layer.named_parameters())  # Statistics of a subnet are always its own.
        layer.load_state_dict({n: t if n in shared else t.clone() for n, t in weights.items()}, assign=True)
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(self.shared.get_parameter(name).requires_grad)
        return layer.train(self.training)
