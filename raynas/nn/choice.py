"""Choices that a user writes inside their own model: one of k modules, k of n inputs, elastic depth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from itertools import combinations
from types import CellType, FunctionType
from typing import Any, Literal, NoReturn, get_args

import torch
from torch import nn

from raynas.architecture import Option
from raynas.decision import Categorical, Condition, Decision, Integer
from raynas.errors import SpaceError

Reduction = Literal["sum", "mean", "concat"]
"""How several inputs become one; "concat" joins them along dimension 1, the channels."""

ModuleFactory = Callable[[], nn.Module]
"""Makes a new module at each call."""


class DecisionModule(nn.Module, ABC):
    """A place in a model where a decision is still open; base of ``Choice``, ``InputChoice`` and ``Repeat``.

    It holds no weights, only how to make its parts. ``assemble`` puts the plain module of an option together from
    parts, wherever they come from: fresh ones when a network is built, trained ones when a supernet hands out a
    subnet. The two therefore have the same state_dict keys.

    Args:
        factories: what makes each part, by the name that the part has in a dotted path.
        label: name of the decision, for places that share one; the dotted path of the place if None.

    Raises:
        SpaceError: if the label is empty or holds "/".
    """

    def __init__(self, factories: Mapping[str, ModuleFactory], label: str | None = None) -> None:
        super().__init__()
        if label is not None and (not label or "/" in label):
            raise SpaceError(f"the label of a choice must be a name without '/', got {label!r}")
        self.factories = factories
        self.label = label

    @abstractmethod
    def decision(self, name: str, active_if: Condition) -> Decision:
        """The decision that is open here, under the name and condition that its place gives it."""

    @abstractmethod
    def assemble(self, option: Option, part: Callable[[str], nn.Module]) -> nn.Module:
        """The plain module that ``option`` means.

        Args:
            option: one of the decision's options.
            part: gives the part of a name; called once for each part that the option holds, in order.
        """

    def options_with(self, part: str) -> Sequence[Option]:
        """The options that hold a part: by default the one of its name."""
        return (part,)

    def make(self, part: str) -> nn.Module:
        """A new part from its factory.

        Raises:
            SpaceError: if the factory returns anything but a module.
        """
        made = self.factories[part]()
        if not isinstance(made, nn.Module):
            raise SpaceError(f"the factory of {part!r} must return an nn.Module, got {type(made).__name__}")
        return made

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to run.

        Raises:
            SpaceError: always: until it is decided, there is nothing to compute.
        """
        raise SpaceError(
            f"this {type(self).__name__} is not decided yet: make the network with space.build(arch), "
            "where space = ModelSpace(YourModel, input_shape=...)"
        )


class Choice(DecisionModule):
    """One of several modules: ``Choice({"conv3x3": lambda: nn.Conv2d(16, 16, 3, padding=1), "skip": nn.Identity})``.

    The variables that a lambda uses are read when the Choice is made, so a loop may go on to change them.

    Args:
        candidates: for each option the factory of its module: a class or function without arguments, called only when
            a network is built. A candidate may hold choices itself.
        label: name of the decision, for places that share one; the dotted path of the place if None.

    Raises:
        SpaceError: if there is no candidate, a candidate is no factory, two are the same lambda, or a name is empty or
            holds "/" or ".".
    """

    def __init__(self, candidates: Mapping[str, ModuleFactory], label: str | None = None) -> None:
        if not candidates:
            raise SpaceError("a Choice needs at least one candidate, e.g. Choice({'skip': nn.Identity})")
        _refuse_bad_names(candidates)
        for name, factory in candidates.items():
            _refuse_non_factory(factory, f"option {name!r} of a Choice")
        _refuse_twins(candidates)
        super().__init__({name: _bind(factory) for name, factory in candidates.items()}, label)

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, tuple(self.factories), active_if=active_if)

    def assemble(self, option: Option, part: Callable[[str], nn.Module]) -> nn.Module:
        return part(str(option))

    def extra_repr(self) -> str:
        """The options, as ``print(model)`` shows them."""
        return ", ".join(self.factories)


class InputChoice(DecisionModule):
    """``n_chosen`` of several tensors, made one: call it with them, as arguments or as one list.

    The options are "0", "1", …, or for several chosen inputs their combinations: "0+1", "0+2", ….

    Args:
        n_inputs: how many tensors it is called with.
        n_chosen: how many of them are used.
        reduction: how these become one tensor; "concat" joins channels, dimension 1.
        label: name of the decision, for places that share one; the dotted path of the place if None.

    Raises:
        SpaceError: unless 1 <= n_chosen <= n_inputs and the reduction is known.
    """

    def __init__(
        self, n_inputs: int, n_chosen: int = 1, reduction: Reduction = "sum", label: str | None = None
    ) -> None:
        if not 1 <= n_chosen <= n_inputs:
            raise SpaceError(f"an InputChoice needs 1 <= n_chosen <= n_inputs, got {n_chosen} and {n_inputs}")
        if reduction not in get_args(Reduction):
            raise SpaceError(f"reduction must be one of {', '.join(get_args(Reduction))}, got {reduction!r}")
        super().__init__({}, label)
        self.n_inputs = n_inputs
        self.reduction = reduction
        self.chosen = {"+".join(map(str, c)): c for c in combinations(range(n_inputs), n_chosen)}

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, tuple(self.chosen), active_if=active_if)

    def assemble(self, option: Option, part: Callable[[str], nn.Module]) -> nn.Module:
        return SelectInputs(self.n_inputs, self.chosen[str(option)], self.reduction)

    def extra_repr(self) -> str:
        """The options, as ``print(model)`` shows them."""
        return ", ".join(self.chosen)


class Repeat(DecisionModule):
    """Between ``low`` and ``high`` blocks in a row; the option is how many. Becomes an ``nn.Sequential``.

    Args:
        factory: makes block i, counted from 0; a block may hold choices, which matter where the block exists.
        low: the fewest blocks; 0 passes the input through.
        high: the most blocks.
        label: name of the decision, for places that share one; the dotted path of the place if None.

    Raises:
        SpaceError: unless 0 <= low <= high and high > 0, or if ``factory`` is a module.
    """

    def __init__(self, factory: Callable[[int], nn.Module], low: int, high: int, label: str | None = None) -> None:
        if not (0 <= low <= high and high > 0):
            raise SpaceError(f"a Repeat needs 0 <= low <= high and high > 0, got {low} and {high}")
        _refuse_non_factory(factory, "the block of a Repeat", "lambda i: ")
        block = _bind(factory)
        super().__init__({str(i): partial(block, i) for i in range(high)}, label)
        self.low = low
        self.high = high

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Integer(name, self.low, self.high, active_if=active_if)

    def options_with(self, part: str) -> Sequence[Option]:
        """The depths at which block ``part`` exists."""
        return range(max(self.low, int(part) + 1), self.high + 1)

    def assemble(self, option: Option, part: Callable[[str], nn.Module]) -> nn.Module:
        return nn.Sequential(*(part(str(i)) for i in range(int(option))))

    def extra_repr(self) -> str:
        """The range, as ``print(model)`` shows it."""
        return f"{self.low}..{self.high}"


class SelectInputs(nn.Module):
    """What an ``InputChoice`` becomes: fixed inputs, reduced to one. Needs torch only, so that it can be exported.

    Args:
        n_inputs: how many tensors it is called with.
        indices: which of them it uses.
        reduction: "sum", "mean" or "concat" (along dimension 1).
    """

    def __init__(self, n_inputs: int, indices: Sequence[int], reduction: str) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.indices = tuple(indices)
        self.reduction = reduction

    def forward(self, *inputs: Any) -> torch.Tensor:
        """Reduce the chosen ones of ``inputs``: ``n_inputs`` tensors, or one list of them.

        Raises:
            ValueError: if there are more or fewer.
        """
        if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)):
            inputs = tuple(inputs[0])
        if len(inputs) != self.n_inputs:
            raise ValueError(f"expected {self.n_inputs} inputs, got {len(inputs)}")
        chosen: list[torch.Tensor] = [inputs[i] for i in self.indices]
        if self.reduction == "concat":
            return torch.cat(chosen, dim=1)
        total = reduce(torch.add, chosen)
        return total / len(chosen) if self.reduction == "mean" else total

    def extra_repr(self) -> str:
        """What it does, as ``print(model)`` shows it."""
        return f"{self.reduction} of {list(self.indices)} of {self.n_inputs}"


def _refuse_bad_names(candidates: Mapping[str, Any]) -> None:
    for name in candidates:
        if not isinstance(name, str) or not name or "/" in name or "." in name:
            raise SpaceError(f"an option of a Choice must be a name without '/' and '.', got {name!r}")


def _refuse_non_factory(factory: object, what: str, arguments: str = "lambda: ") -> None:
    if isinstance(factory, nn.Module):
        kind = type(factory).__name__
        raise SpaceError(f"{what} is a module; give a factory that makes a new one: {arguments}nn.{kind}(...)")
    if not callable(factory):
        raise SpaceError(f"{what} must be a factory such as {arguments}nn.Conv2d(...), got {factory!r}")


def _refuse_twins(candidates: Mapping[str, ModuleFactory]) -> None:
    """Refuse lambdas made in one loop that do not bind its variable: all of them would make the last module."""
    seen: dict[object, str] = {}
    for name, factory in candidates.items():
        if isinstance(factory, FunctionType):
            values = (factory.__closure__ or (), factory.__defaults__ or (), (factory.__kwdefaults__ or {}).values())
            twin = seen.setdefault((factory.__code__, *(tuple(map(id, group)) for group in values)), name)
            if twin != name:
                raise SpaceError(
                    f"options {twin!r} and {name!r} of a Choice make the same module; in a loop bind the variable: "
                    "lambda k=k: nn.Conv2d(16, 16, k)"
                )


def _bind(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """A copy of a local function that keeps the present values of the variables it captured.

    Factories run long after the constructor that wrote them has gone on, e.g. to ``channels *= 2``.
    """
    if not isinstance(factory, FunctionType) or not factory.__closure__:
        return factory
    closure = tuple(map(_frozen, factory.__closure__))
    bound = FunctionType(factory.__code__, factory.__globals__, factory.__name__, factory.__defaults__, closure)
    bound.__kwdefaults__ = factory.__kwdefaults__
    return bound


def _frozen(cell: CellType) -> CellType:
    try:
        return CellType(cell.cell_contents)
    except ValueError:  # Still empty, e.g. a function that refers to itself: it has to be read later.
        return cell
