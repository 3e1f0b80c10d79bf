"""Choices that a user writes inside their own model: one of k modules, k of n inputs, elastic depth.

Each says what its decision is, how the plain module of an option is put together, and how a supernet computes an
option or a mixture.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from itertools import combinations
from types import CellType, FunctionType
from typing import Any, Literal, NoReturn, TypeVar, get_args

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision, Integer
from raynas.errors import SpaceError
from raynas.nn.fast.mixed_operation import mixed
from raynas.nn.selection import Mixture, current_call

_T = TypeVar("_T")

Reduction = Literal["sum", "mean", "concat"]
"""How several inputs become one; "concat" joins them along dimension 1, the channels."""

ModuleFactory = Callable[[], nn.Module]
"""Makes a new module at each call."""

Part = Callable[[str], nn.Module]
"""Gives the part of a name, wherever it comes from."""


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
    def assemble(self, option: Option, part: Part) -> nn.Module:
        """The plain module that ``option`` means.

        Args:
            option: one of the decision's options.
            part: gives the part of a name; called once for each part that the option holds, in order.
        """

    @abstractmethod
    def run(self, option: Option, part: Part, *inputs: Any) -> Any:
        """What the module of ``option`` computes, without making it.

        Args:
            option: one of the decision's options.
            part: gives the part of a name.
            inputs: what the module is called with.
        """

    @abstractmethod
    def mix(self, mixture: Mixture, part: Part, *inputs: Any) -> torch.Tensor:
        """The sum of what the ways compute, each times its weight."""

    @property
    def ways(self) -> Sequence[Option]:
        """What a mixture weighs: by default the options, which are the parts."""
        return tuple(self.factories)

    def strongest(self, weights: Sequence[float]) -> Option:
        """The option that a mixture with these weights, one for each way, comes down to."""
        return self.ways[max(range(len(self.ways)), key=weights.__getitem__)]

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
        null: whether a relaxation has one more weight, for no operation at all, which no architecture can choose (the
            "none" of DARTS).
        narrow: gives, for k, candidates with 1/k of the channels: what partial channels (PC-DARTS) take.

    Raises:
        SpaceError: if there is no candidate, a candidate is no factory, two are the same lambda, or a name is empty or
            holds "/" or ".".
    """

    def __init__(
        self,
        candidates: Mapping[str, ModuleFactory],
        label: str | None = None,
        *,
        null: bool = False,
        narrow: Callable[[int], Mapping[str, ModuleFactory]] | None = None,
    ) -> None:
        if not candidates:
            raise SpaceError("a Choice needs at least one candidate, e.g. Choice({'skip': nn.Identity})")
        _refuse_bad_names(candidates)
        for name, factory in candidates.items():
            _refuse_non_factory(factory, f"option {name!r} of a Choice")
        _refuse_twins(candidates)
        super().__init__({name: _bind(factory) for name, factory in candidates.items()}, label)
        self.null = null
        self.narrow = None if narrow is None else _bind(narrow)

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, tuple(self.factories), active_if=active_if)

    def assemble(self, option: Option, part: Part) -> nn.Module:
        return part(str(option))

    def run(self, option: Option, part: Part, *inputs: Any) -> Any:
        return part(str(option))(*inputs)

    def mix(self, mixture: Mixture, part: Part, *inputs: Any) -> torch.Tensor:
        names = tuple(self.factories)
        candidates = [part(names[i]) for i in mixture.indices]
        if len(inputs) == 1 and isinstance(inputs[0], torch.Tensor):
            return mixed(candidates, mixture.active_weights, inputs[0], current_call().memo)
        outputs = [candidate(*inputs) for candidate in candidates]
        return reduced([mixture.weights[i] * y for i, y in zip(mixture.indices, outputs, strict=True)], "sum")

    def narrowed(self, k: int) -> "Choice":
        """The same choice with 1/k of the channels.

        Raises:
            SpaceError: if it does not know how, or has other options then.
        """
        if self.narrow is None:
            raise SpaceError("partial channels need a Choice that says how to be narrow: Choice(..., narrow=...)")
        candidates = self.narrow(k)
        if list(candidates) != list(self.factories):
            raise SpaceError(f"narrow({k}) gives options {list(candidates)}, not {list(self.factories)}")
        return Choice(candidates, self.label, null=self.null)

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
        edge: makes the module that input i, counted from 0, goes through if it is chosen; it may hold choices, which
            matter where the input is chosen. None leaves inputs as they are.

    Raises:
        SpaceError: unless 1 <= n_chosen <= n_inputs and the reduction is known, or if ``edge`` is a module.
    """

    def __init__(
        self,
        n_inputs: int,
        n_chosen: int = 1,
        reduction: Reduction = "sum",
        label: str | None = None,
        *,
        edge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        if not 1 <= n_chosen <= n_inputs:
            raise SpaceError(f"an InputChoice needs 1 <= n_chosen <= n_inputs, got {n_chosen} and {n_inputs}")
        if reduction not in get_args(Reduction):
            raise SpaceError(f"reduction must be one of {', '.join(get_args(Reduction))}, got {reduction!r}")
        super().__init__({} if edge is None else _numbered(edge, n_inputs, "the edge of an InputChoice"), label)
        self.n_inputs = n_inputs
        self.n_chosen = n_chosen
        self.reduction = reduction
        self.chosen = {"+".join(map(str, c)): c for c in combinations(range(n_inputs), n_chosen)}

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, tuple(self.chosen), active_if=active_if)

    @property
    def ways(self) -> Sequence[Option]:
        """The inputs, by their numbers."""
        return tuple(map(str, range(self.n_inputs)))

    def strongest(self, weights: Sequence[float]) -> Option:
        """The option of the ``n_chosen`` inputs with the highest weights, the earlier of equal ones."""
        ranked = sorted(range(self.n_inputs), key=lambda i: (-weights[i], i))
        return "+".join(map(str, sorted(ranked[: self.n_chosen])))

    def options_with(self, part: str) -> Sequence[Option]:
        """The combinations that the input of number ``part`` is in."""
        return tuple(option for option, indices in self.chosen.items() if int(part) in indices)

    def assemble(self, option: Option, part: Part) -> nn.Module:
        indices = self.chosen[str(option)]
        edges = {str(i): part(str(i)) for i in indices} if self.factories else {}
        return SelectInputs(self.n_inputs, indices, self.reduction, edges)

    def run(self, option: Option, part: Part, *inputs: Any) -> Any:
        tensors = self._edges(self.chosen[str(option)], part, *inputs)
        return reduced(tensors, self.reduction)

    def mix(self, mixture: Mixture, part: Part, *inputs: Any) -> torch.Tensor:
        if self.reduction == "concat" and len(mixture.indices) != self.n_chosen:
            raise SpaceError(f"inputs that are concatenated cannot be mixed: {self.n_chosen} of them must be active")
        indices = sorted(mixture.indices)  # As an option has them, which matters if they are concatenated.
        tensors = self._edges(indices, part, *inputs)
        weights = mixture.weights
        # Where inputs only add up, as in DARTS, a multiplication by 1 would keep every one of them in memory.
        if weights.requires_grad or not bool((weights == 1).all()):
            tensors = [weights[i] * tensor for i, tensor in zip(indices, tensors, strict=True)]
        total = reduced(tensors, "sum" if self.reduction == "mean" else self.reduction)
        return total / self.n_chosen if self.reduction == "mean" else total

    def _edges(self, indices: Sequence[int], part: Part, *inputs: Any) -> list[torch.Tensor]:
        tensors = as_tensors(inputs, self.n_inputs)
        return [part(str(i))(tensors[i]) if self.factories else tensors[i] for i in indices]

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
        super().__init__(_numbered(factory, high, "the block of a Repeat"), label)
        self.low = low
        self.high = high

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Integer(name, self.low, self.high, active_if=active_if)

    def options_with(self, part: str) -> Sequence[Option]:
        """The depths at which block ``part`` exists."""
        return range(max(self.low, int(part) + 1), self.high + 1)

    @property
    def ways(self) -> Sequence[Option]:
        """The depths."""
        return range(self.low, self.high + 1)

    def assemble(self, option: Option, part: Part) -> nn.Module:
        return nn.Sequential(*(part(str(i)) for i in range(int(option))))

    def run(self, option: Option, part: Part, *inputs: Any) -> Any:
        (x,) = inputs
        for i in range(int(option)):
            x = part(str(i))(x)
        return x

    def mix(self, mixture: Mixture, part: Part, *inputs: Any) -> torch.Tensor:
        (x,) = inputs
        depths = {self.low + i: mixture.weights[i] for i in mixture.indices}
        outputs = [depths[0] * x] if 0 in depths else []
        for i in range(max(depths)):
            x = part(str(i))(x)
            if i + 1 in depths:
                outputs.append(depths[i + 1] * x)
        return reduced(outputs, "sum")

    def extra_repr(self) -> str:
        """The range, as ``print(model)`` shows it."""
        return f"{self.low}..{self.high}"


class SelectInputs(nn.Module):
    """What an ``InputChoice`` becomes: fixed inputs, reduced to one. Needs torch only, so that it can be exported.

    Args:
        n_inputs: how many tensors it is called with.
        indices: which of them it uses.
        reduction: "sum", "mean" or "concat" (along dimension 1).
        edges: by the number of an input, the module that it goes through; those without one stay as they are.
    """

    def __init__(
        self, n_inputs: int, indices: Sequence[int], reduction: str, edges: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.indices = tuple(indices)
        self.reduction = reduction
        for number, edge in (edges or {}).items():
            self.add_module(number, edge)

    def forward(self, *inputs: Any) -> torch.Tensor:
        """Reduce the chosen ones of ``inputs``: ``n_inputs`` tensors, or one list of them.

        Raises:
            ValueError: if there are more or fewer.
        """
        tensors = as_tensors(inputs, self.n_inputs)
        edges = self._modules
        return reduced([edges[str(i)](tensors[i]) if edges else tensors[i] for i in self.indices], self.reduction)  # type: ignore[misc]

    def extra_repr(self) -> str:
        """What it does, as ``print(model)`` shows it."""
        return f"{self.reduction} of {list(self.indices)} of {self.n_inputs}"


def as_tensors(inputs: Sequence[Any], n_inputs: int) -> Sequence[torch.Tensor]:
    """The tensors that were given as arguments or as one list.

    Raises:
        ValueError: if they are not ``n_inputs``.
    """
    if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)):
        inputs = tuple(inputs[0])
    if len(inputs) != n_inputs:
        raise ValueError(f"expected {n_inputs} inputs, got {len(inputs)}")
    return inputs


def reduced(tensors: Sequence[torch.Tensor], reduction: str) -> torch.Tensor:
    """One tensor from several: their "sum", their "mean", or "concat" along dimension 1."""
    if reduction == "concat":
        return torch.cat(list(tensors), dim=1)
    total: torch.Tensor = reduce(torch.add, tensors)
    return total / len(tensors) if reduction == "mean" else total


def _refuse_bad_names(candidates: Mapping[str, Any]) -> None:
    for name in candidates:
        if not isinstance(name, str) or not name or "/" in name or "." in name:
            raise SpaceError(f"an option of a Choice must be a name without '/' and '.', got {name!r}")
        if name == "training":  # Which every module sets on itself, so that a supernet could hold no part of that name.
            raise SpaceError("an option of a Choice cannot be called 'training'")


def _refuse_non_factory(factory: object, what: str, arguments: str = "lambda: ") -> None:
    if isinstance(factory, nn.Module):
        kind = type(factory).__name__
        raise SpaceError(f"{what} is a module; give a factory that makes a new one: {arguments}nn.{kind}(...)")
    if not callable(factory):
        raise SpaceError(f"{what} must be a factory such as {arguments}nn.Conv2d(...), got {factory!r}")


def _numbered(factory: Callable[[int], nn.Module], n: int, what: str) -> dict[str, ModuleFactory]:
    """The factories of n parts that one function of their number makes."""
    _refuse_non_factory(factory, what, "lambda i: ")
    make = _bind(factory)
    return {str(i): partial(make, i) for i in range(n)}


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


def _bind(factory: Callable[..., _T]) -> Callable[..., _T]:
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
