"""Where choices sit in a model, and the decisions that they make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Decision
from raynas.errors import SpaceError
from raynas.nn.choice import DecisionModule, ModuleFactory
from raynas.nn.elastic import ElasticLayer

Needs = Mapping[str, tuple[Option, ...]]
"""What has to be chosen for a place to exist: the options of each decision around it; empty if it always exists."""

MAX_DEPTH = 50
"""How deep choices may nest before they are taken to nest without end."""


def decision_name(choice: DecisionModule, path: str) -> str:
    """What the decision of a choice at a dotted path is called."""
    return choice.label or path or "model"


def join(path: str, name: str) -> str:
    """The dotted path of ``name`` under ``path``."""
    return f"{path}.{name}" if path else name


OpenModule = DecisionModule | ElasticLayer
"""What is not decided yet."""


def open_places(module: nn.Module, path: str) -> Iterator[tuple[nn.Module, str, OpenModule, str]]:
    """Where choices and elastic layers sit in ``module``: parent, attribute, child, dotted path of its first place.

    Their own inside is not looked into; it comes with what they become.
    """
    return _walk(module, path, {})


def _walk(
    parent: nn.Module, prefix: str, first: dict[nn.Module, str]
) -> Iterator[tuple[nn.Module, str, OpenModule, str]]:
    # named_children() would hide a second name of the same choice.
    for attribute, child in parent._modules.items():
        if isinstance(child, DecisionModule | ElasticLayer):
            yield parent, attribute, child, first.setdefault(child, join(prefix, attribute))
        elif child is not None and child not in first:
            first[child] = join(prefix, attribute)
            yield from _walk(child, first[child], first)


def decisions_of(factory: ModuleFactory, name: str) -> tuple[Decision, ...]:
    """The decisions of a model, in the order of its submodules, an outer one before those in its parts.

    Args:
        factory: makes the model; called under the meta device.
        name: of the model, for errors.

    Raises:
        SpaceError: if there are none, or they contradict each other.
    """
    decisions = _resolve(_places(_new(factory, name), "", {}, 0))
    if not decisions:
        raise SpaceError(f"{name} has no Choice, InputChoice or Repeat among its submodules")
    return decisions


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
    if isinstance(module, ElasticLayer):
        for argument, size in module.open_sizes.items():
            yield _Place(join(path, argument), size, needs)
        return
    found = {place: child for _, _, child, place in open_places(module, path)}
    for place, child in found.items():
        yield from _places(child, place, needs, depth)


def _place_and_inner(place: _Place, depth: int) -> Iterator[_Place]:
    if depth > MAX_DEPTH:
        raise SpaceError(f"choices nest without end at {place.path[:80]!r}…: a candidate contains itself")
    yield place
    for part in place.choice.factories:
        inner = place.inside(part)
        if inner is not None:
            path = join(place.path, part)
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
