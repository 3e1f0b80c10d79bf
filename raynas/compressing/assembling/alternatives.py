"""Alternatives to a block: smaller relatives of it, a linear map, or nothing."""

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from raynas.compressing.assembling.blocks import Call
from raynas.compressing.assembling.plain_blocks import linear, set_nearest, skip
from raynas.converting import Kernel, Width, convert
from raynas.converting.grouped_query import grouped_query
from raynas.converting.options import Range
from raynas.errors import SettingError, SpaceError, UnknownNameError, one_line
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.modes import evaluating

GIVEN = "given"
"""Name of the block as it is."""

DEFAULT_ALTERNATIVES = ("width:0.5", "heads:0.5", "grouped_query:1", "kernel:3", "linear", "skip")

Make = Callable[[nn.Module, Call], nn.Module]
"""Makes an alternative of a block and one of its calls; a ``SpaceError`` says why there is none."""


@dataclass(frozen=True)
class Alternative(ABC):
    """A module that may take the place of a block.

    Args:
        name: its name among the alternatives of a block.
    """

    name: str

    @abstractmethod
    def make(self, block: nn.Module, call: Call) -> nn.Module:
        """Return it; it has the same structure for the same call.

        Args:
            block: the given one; it is not changed.
            call: of the block on the example inputs.

        Raises:
            SpaceError: if there is none for this block.
        """

    @property
    def code(self) -> Sequence[object]:
        """Functions and classes that make it; a change of those that are the user's is noticed."""
        return (type(self),)

    def begin(self, module: nn.Module, call: Call) -> None:
        """Set the weights from which its training begins, in place; by default they are those that it was made with.

        Args:
            module: the alternative.
            call: of the block on a batch of the data.
        """
        return


@dataclass(frozen=True)
class Custom(Alternative):
    """An alternative of the user's.

    Args:
        name: its name.
        function: makes it of the block and a call of it. It travels to other processes.
    """

    function: Make

    @property
    def code(self) -> Sequence[object]:
        """The function."""
        return (self.function,)

    def make(self, block: nn.Module, call: Call) -> nn.Module:
        """Return what the function makes."""
        return self.function(block, call)


@dataclass(frozen=True)
class Converted(Alternative):
    """The block with less of a kind of its dimensions, and the most important of its weights; see ``convert``.

    Args:
        name: of the alternative.
        names: glob of the decisions that change.
        size: range whose smallest option they get.
        subject: what is reduced, for messages.
    """

    names: str
    size: Range
    subject: str

    def make(self, block: nn.Module, call: Call) -> nn.Module:
        """Return the converted block; its inputs and outputs keep their sizes."""
        try:
            space = convert(block, call.arguments, vary={self.names: self.size})
        except SpaceError as error:
            reason = "there are none" if "matches no" in str(error) else one_line(error)
            raise SpaceError(f"{self.subject} cannot be reduced: {reason}") from None
        return space.build(space.smallest)


@dataclass(frozen=True)
class GroupedQuery(Alternative):
    """Attention whose heads share keys and values.

    Args:
        name: of the alternative.
        n_groups: number of heads that keys and values have.
    """

    n_groups: int

    def make(self, block: nn.Module, call: Call) -> nn.Module:
        """Return the block with it; see ``grouped_query``."""
        return grouped_query(block, call.arguments, self.n_groups)


@dataclass(frozen=True)
class Linear(Alternative):
    """A linear map of features, the same at all positions."""

    def make(self, block: nn.Module, call: Call) -> nn.Module:
        """Return the map; see ``linear``."""
        return linear(block, call)

    def begin(self, module: nn.Module, call: Call) -> None:
        """Set it to the map that is nearest to the block on a batch."""
        set_nearest(module, call)


@dataclass(frozen=True)
class Chain(Alternative):
    """Several alternatives, each made of the one before.

    Args:
        name: of the alternative.
        links: the alternatives.
    """

    links: tuple[Alternative, ...]

    def make(self, block: nn.Module, call: Call) -> nn.Module:
        """Return the last one."""
        for link in self.links:
            block = link.make(block, call)
        return block


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise ValueError
    return share


_KINDS: Mapping[str, tuple[str, Callable[[str, str], Alternative]]] = {
    "width": (
        "a share in (0, 1) of the widths",
        lambda n, v: Converted(n, "*.width*", Width(_share(v)), "hidden widths"),
    ),
    "heads": (
        "a share in (0, 1) of the heads",
        lambda n, v: Converted(n, "*.heads*", Width(_share(v)), "attention heads"),
    ),
    "kernel": ("an odd size", lambda n, v: Converted(n, "*", Kernel(int(v)), "kernels")),
    "grouped_query": ("a number of heads", lambda n, v: GroupedQuery(n, _positive(v))),
}
"""Alternatives with a number, by the word before it: what the number is, and what makes them."""

_PLAIN: Mapping[str, Alternative] = {"linear": Linear("linear"), "skip": Custom("skip", skip)}
"""Alternatives without a number, by name."""


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def read_alternatives(given: Sequence["str | Alternative"]) -> dict[str, Alternative]:
    """Read alternatives, by name.

    Args:
        given: texts such as ``"width:0.5"``, ``"linear"`` or ``"heads:0.5+width:0.5"``, or alternatives.

    Raises:
        SettingError: if one has a number that it cannot have, or two have the same name.
        UnknownNameError: if one is of no known kind.
    """
    found: dict[str, Alternative] = {}
    for each in [given] if isinstance(given, str) else given:
        alternative = _read(each) if isinstance(each, str) else each
        if (
            alternative.name in found
            or alternative.name == GIVEN
            or not re.fullmatch(r"[\w.:+-]{1,80}", alternative.name)
        ):
            raise SettingError(
                f"alternatives must have different names of letters, digits and '.:+-_', and not {GIVEN!r}, "
                f"got {alternative.name!r}"
            )
        found[alternative.name] = alternative
    if not found:
        raise SettingError("alternatives must name one at least, such as 'width:0.5' or 'skip', got none")
    return found


def _read(text: str) -> Alternative:
    parts = [_read_one(part.strip()) for part in text.split("+")]
    return parts[0] if len(parts) == 1 else Chain("+".join(part.name for part in parts), tuple(parts))


def _read_one(text: str) -> Alternative:
    kind, colon, value = text.partition(":")
    if not colon and kind in _PLAIN:
        return _PLAIN[kind]
    if kind not in _KINDS:
        raise UnknownNameError("alternative", text, [*(f"{kind}:N" for kind in _KINDS), *_PLAIN])
    meaning, make = _KINDS[kind]
    try:
        return make(text, value)
    except (ValueError, SpaceError):
        raise SettingError(f"{kind} needs {meaning} behind a colon, such as {_EXAMPLES[kind]}, got {text!r}") from None


_EXAMPLES = {"width": "width:0.5", "heads": "heads:0.5", "kernel": "kernel:3", "grouped_query": "grouped_query:2"}


def made(alternative: Alternative, block: nn.Module, call: Call) -> nn.Module:
    """Return an alternative that can take the place of a block, with parameters that can be trained.

    Args:
        alternative: the alternative.
        block: the given one; it is not changed.
        call: of the block on a batch.

    Raises:
        SpaceError: if it cannot: with the reason.
    """
    try:
        module = alternative.make(block, call)
    except SpaceError:
        raise
    except Exception as error:  # of the user's function, or of a block's unusual code
        raise SpaceError(f"{alternative.name} cannot be made: {one_line(error)}") from error
    if any(parameter is other for parameter in module.parameters() for other in block.parameters()):
        module = copy.deepcopy(module)
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    check_fits(module, call)
    return module


def check_fits(module: nn.Module, call: Call) -> None:
    """Check that a module gives what a block does.

    Raises:
        SpaceError: if it fails, or its outputs have other shapes.
    """
    try:
        with evaluating(module):
            output = call.arguments.map(lambda tensor: tensor.clone()).call(module)
    except Exception as error:
        raise SpaceError(f"it does not run on the block's inputs: {one_line(error)}") from error
    shapes, wanted = ([tuple(t.shape) for t in tensors_in(each)] for each in (output, call.output))
    if shapes != wanted:
        raise SpaceError(f"it gives tensors of the shapes {shapes}, the block {wanted}")
