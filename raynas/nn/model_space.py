"""ModelSpace: the search space that a model with choices in it describes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from raynas.architecture import Option
from raynas.decision import Decision
from raynas.errors import SpaceError
from raynas.nn.choice import DecisionModule, ModuleFactory
from raynas.space import SearchSpace

Needs = Mapping[str, tuple[Option, ...]]
"""What has to be chosen for a place to exist: the options of each decision around it; empty if it always exists."""

MAX_DEPTH = 50
"""How deep choices may nest before they are taken to nest without end."""


class ModelSpace(SearchSpace):
    """The space of the networks that a model with choices can become.

    Every ``Choice``, ``InputChoice`` and ``Repeat`` among the submodules is a decision, named by its ``label`` or by
    its dotted path. Inside a candidate the path carries the option: the choice ``op`` of the candidate ``conv`` of
    ``block`` is ``block.conv.op`` and is active if ``block`` is ``conv``; the choice ``op`` of block 2 of the Repeat
    ``layers`` is ``layers.2.op`` and is active if ``layers`` >= 3.

    ``ModelSpace(Net, input_shape=(3, 32, 32))`` takes a model of the user's. A catalogue space is a frozen dataclass
    that derives from ModelSpace, has a field ``input_shape`` and overrides ``factory``.

    A layer behind a choice of widths may be lazy (``nn.LazyConv2d``, ``nn.LazyBatchNorm2d``, …): ``build`` finds its
    width by one forward pass. Constructors run on the meta device too, where tensors have no values, so they must not
    read numbers out of tensors.

    Args:
        factory: makes the model with the choices; a class or function without arguments.
        input_shape: shape of one example without the batch.

    Raises:
        SpaceError: if ``factory`` is a module instead of a factory.
    """

    def __init__(self, factory: ModuleFactory, *, input_shape: Sequence[int]) -> None:
        if isinstance(factory, nn.Module) or not callable(factory):
            raise SpaceError(
                f"ModelSpace needs a factory that makes a new model, such as its class, got {type(factory).__name__}"
            )
        self._factory = factory
        self.input_shape = tuple(input_shape)

    def factory(self) -> nn.Module:
        """Make the model with the choices, undecided; catalogue spaces override this."""
        return self._factory()

    @property
    def name(self) -> str:
        """The model's name, or that of the catalogue space."""
        if type(self) is not ModelSpace:
            return type(self).__name__
        name = getattr(self._factory, "__name__", "")
        return name if name.isidentifier() else "ModelSpace"

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions in the order of the model's submodules, an outer one before those in its candidates."""
        return self._discovered

    @cached_property
    def _discovered(self) -> tuple[Decision, ...]:
        # Whether the space was looked at before must not change the weights that a seed gives.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            decisions = _resolve(_places(_new(self.factory, self.name), "", {}, 0))
        if not decisions:
            raise SpaceError(f"{self.name} has no Choice, InputChoice or Repeat among its submodules")
        return decisions

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Make the network that ``arch`` means: plain PyTorch, every choice replaced by what was chosen.

        Args:
            arch: a member, or a superset of one; decisions that are not active are ignored.

        Raises:
            SpaceError: if ``arch`` is not a member, or the width of a lazy layer cannot be found.
        """
        options = self.canonical(arch)
        model = materialise(self.factory(), options)
        _find_widths(model, self)
        return model


PartSource = Callable[[DecisionModule, str, str], nn.Module]
"""Gives a part of a choice: called with the choice, its dotted path and the part's name."""


def materialise(
    model: nn.Module,
    options: Mapping[str, Option],
    part_of: PartSource = lambda choice, path, part: choice.make(part),
) -> nn.Module:
    """Replace every choice in ``model``, and in what replaces it, by the module of its option; in place.

    Args:
        model: holds the choices; may be a choice itself.
        options: the option of each decision.
        part_of: where the parts come from; by default new from their factories.

    Returns:
        ``model``, or what it became if it is a choice.
    """
    return _Materialiser(options, part_of).finished(model, "")


class _Materialiser:
    """Carries what ``materialise`` needs through the recursion; closures would keep each network alive in a cycle."""

    def __init__(self, options: Mapping[str, Option], part_of: PartSource) -> None:
        self.options = options
        self.part_of = part_of
        self.done: dict[DecisionModule, nn.Module] = {}

    def finished(self, module: nn.Module, path: str) -> nn.Module:
        """``module`` with the choices in it replaced."""
        if isinstance(module, DecisionModule):
            if module not in self.done:
                self.done[module] = self.decided(module, path)
            return self.done[module]
        for parent, attribute, choice, place in list(_slots(module, path)):
            setattr(parent, attribute, self.finished(choice, place))
        return module

    def decided(self, choice: DecisionModule, path: str) -> nn.Module:
        """What replaces a choice."""
        name = decision_name(choice, path)
        if name not in self.options:
            raise SpaceError(f"choice {name!r} was not there before: a factory must make the same model at each call")
        return choice.assemble(self.options[name], lambda part: self.part(choice, path, part))

    def part(self, choice: DecisionModule, path: str, part: str) -> nn.Module:
        """A part of a choice, with the choices in it replaced."""
        return self.finished(self.part_of(choice, path, part), _join(path, part))


def decision_name(choice: DecisionModule, path: str) -> str:
    """What the decision of a choice at a dotted path is called."""
    return choice.label or path or "model"


def _slots(module: nn.Module, path: str) -> Iterator[tuple[nn.Module, str, DecisionModule, str]]:
    """Where choices sit in ``module``: parent, attribute, choice, dotted path of its first place."""
    first: dict[DecisionModule, str] = {}
    for prefix, parent in module.named_modules(prefix=path):
        # named_children() would hide a second name of the same choice.
        for attribute, child in parent._modules.items():
            if isinstance(child, DecisionModule):
                yield parent, attribute, child, first.setdefault(child, _join(prefix, attribute))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass(frozen=True)
class _Place:
    """A choice found in the model, and when it exists."""

    path: str
    choice: DecisionModule
    needs: Needs

    @property
    def name(self) -> str:
        return decision_name(self.choice, self.path)

    @cached_property
    def decision(self) -> Decision:
        return self.choice.decision(self.name, {})

    def inside(self, part: str) -> Needs | None:
        """When a part of the choice exists; None if never."""
        options = self.choice.options_with(part)
        if len(options) == len(self.decision.options):  # Held by every option: nothing more has to be chosen.
            return self.needs
        allowed = tuple(option for option in self.needs.get(self.name, options) if option in options)
        return {**self.needs, self.name: allowed} if allowed else None


def _places(module: nn.Module, path: str, needs: Needs, depth: int) -> Iterator[_Place]:
    """All places in ``module``, each before those in its parts."""
    if isinstance(module, DecisionModule):
        yield from _place_and_inner(_Place(path, module, needs), depth)
        return
    found = {place: choice for _, _, choice, place in _slots(module, path)}
    for place, choice in found.items():
        yield from _place_and_inner(_Place(place, choice, needs), depth)


def _place_and_inner(place: _Place, depth: int) -> Iterator[_Place]:
    if depth > MAX_DEPTH:
        raise SpaceError(f"choices nest without end at {place.path[:80]!r}…: a candidate contains itself")
    yield place
    for part in place.choice.factories:
        inner = place.inside(part)
        if inner is not None:
            path = _join(place.path, part)
            yield from _places(_new(lambda p=part: place.choice.make(p), path), path, inner, depth + 1)  # type: ignore[misc]


def _new(factory: ModuleFactory, where: str) -> nn.Module:
    """What a factory makes on the meta device, once it is clear that it makes a new one each time."""
    try:
        module = factory()
        again = factory()
    except (NotImplementedError, RuntimeError) as error:
        raise SpaceError(f"{where} cannot be made on the meta device, where tensors have no values: {error}") from error
    if not isinstance(module, nn.Module):
        raise SpaceError(f"the factory of {where} must return an nn.Module, got {type(module).__name__}")
    if module is again:
        raise SpaceError(f"the factory of {where} returns the same module again; it must make a new one at each call")
    return module


def _resolve(places: Iterable[_Place]) -> tuple[Decision, ...]:
    """The decisions of the places, those with the same label made one."""
    groups: dict[str, list[_Place]] = {}
    for place in places:
        groups.setdefault(place.name, []).append(place)
    decisions: dict[str, Decision] = {}
    for name, group in groups.items():
        for other in group[1:]:
            _refuse_different(group[0], other)
        condition = _shortened(_united(name, group, decisions), decisions)
        decisions[name] = group[0].choice.decision(name, condition)
    return tuple(decisions.values())


def _refuse_different(first: _Place, other: _Place) -> None:
    if first.choice.label is None or other.choice.label is None:
        raise SpaceError(f"a choice at {first.path!r} and one at {other.path!r} have the same name; give them labels")
    if first.decision != other.decision:
        raise SpaceError(
            f"the choices at {first.path!r} and {other.path!r} share the label {first.name!r} but not their options: "
            f"{list(first.decision.options)} and {list(other.decision.options)}"
        )


def _united(name: str, group: Sequence[_Place], decisions: Mapping[str, Decision]) -> Needs:
    """When at least one of the places exists, which must come down to one condition."""
    all_needs: list[Needs] = []
    for place in group:
        if not any(_implies(place.needs, needs) for needs in all_needs):
            all_needs = [needs for needs in all_needs if not _implies(needs, place.needs)] + [place.needs]
    if len(all_needs) == 1:
        return all_needs[0]
    different = {
        parent for needs in all_needs for parent in needs if any(c.get(parent) != needs[parent] for c in all_needs)
    }
    if len(different) > 1 or len({frozenset(needs) for needs in all_needs}) > 1:
        where = " and ".join(f"{place.path!r} (if {dict(place.needs)})" for place in group if place.needs in all_needs)
        raise SpaceError(
            f"label {name!r} stands in places that depend on different choices: {where}; use a label for each"
        )
    parent = different.pop()
    allowed = tuple(o for o in decisions[parent].options if any(o in needs[parent] for needs in all_needs))
    return {**all_needs[0], parent: allowed}


def _implies(first: Needs, second: Needs) -> bool:
    """Whether a place under ``first`` exists only where one under ``second`` would."""
    return all(parent in first and set(first[parent]) <= set(allowed) for parent, allowed in second.items())


def _shortened(needs: Needs, decisions: Mapping[str, Decision]) -> Needs:
    """``needs`` without what leaves every option open or follows from the rest."""
    needs = {parent: allowed for parent, allowed in needs.items() if len(allowed) < len(decisions[parent].options)}

    def follows(parent: str) -> bool:
        conditions = (decisions[other].active_if for other in needs if other != parent)
        return any(parent in c and set(c[parent]) <= set(needs[parent]) for c in conditions)

    return {parent: allowed for parent, allowed in needs.items() if not follows(parent)}


def _find_widths(model: nn.Module, space: SearchSpace) -> None:
    """Run lazy layers once, if there are any, so that they take the width of what reaches them."""
    if not _lazy_layers(model):
        return
    training = {module: module.training for module in model.modules()}
    device = next(chain(model.parameters(), model.buffers())).device
    try:
        with torch.no_grad():
            model.eval()(space.example_input(1, device))
    except Exception as error:
        raise SpaceError(
            f"{space.name}: the forward pass that finds the widths of lazy layers failed on one example of shape "
            f"{space.input_shape}: {error}"
        ) from error
    if unreached := _lazy_layers(model):
        raise SpaceError(f"{space.name}: the forward pass never reaches lazy layer {unreached[0]!r}; give it its width")
    for module, was_training in training.items():
        module.training = was_training


def _lazy_layers(model: nn.Module) -> list[str]:
    tensors = chain(model.named_parameters(), model.named_buffers())
    return [name.rpartition(".")[0] for name, tensor in tensors if is_lazy(tensor)]
