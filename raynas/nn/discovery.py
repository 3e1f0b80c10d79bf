"""Discovery of the choice points in a model, and of the decisions that they make."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from torch import nn

from raynas.core.decision import Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.conditions import merged, simplified, weakest
from raynas.nn.decision_module import DecisionModule
from raynas.nn.elastic import ElasticLayer
from raynas.nn.factories import ModuleFactory

MAX_DEPTH = 50
"""Maximum depth of nested choices; deeper ones are taken to contain themselves."""


def decision_name(choice: DecisionModule, path: str) -> str:
    """Return the name of the decision of a choice at a dotted path."""
    return choice.label or path or "model"


def join(path: str, name: str) -> str:
    """Return the dotted path of ``name`` under ``path``."""
    return f"{path}.{name}" if path else name


class Undecided(NamedTuple):
    """A choice or an elastic layer in a model.

    Args:
        parent: the module that holds it.
        attribute: its name there.
        module: the choice or elastic layer.
        path: its dotted path; if it has several, the first one.
    """

    parent: nn.Module
    attribute: str
    module: DecisionModule | ElasticLayer
    path: str


def undecided_modules(module: nn.Module, path: str) -> Iterator[Undecided]:
    """Yield the choices and elastic layers in ``module``, once for each attribute that holds them.

    Those inside a choice are not among them: they appear when a branch of it is made.

    Args:
        module: the model; not itself a choice.
        path: its dotted path.
    """
    return _walk(module, path, {})


def _walk(parent: nn.Module, prefix: str, first: dict[nn.Module, str]) -> Iterator[Undecided]:
    # named_children() would hide a second name of the same choice.
    for attribute, child in parent._modules.items():
        if isinstance(child, DecisionModule | ElasticLayer):
            yield Undecided(parent, attribute, child, first.setdefault(child, join(prefix, attribute)))
        elif child is not None and child not in first:
            first[child] = join(prefix, attribute)
            yield from _walk(child, first[child], first)


def decisions_of(factory: ModuleFactory, name: str) -> tuple[Decision, ...]:
    """Return the decisions of a model, in the order of its submodules, an outer one before those in its branches.

    Args:
        factory: makes the model; called under the meta device.
        name: of the model, for errors.

    Raises:
        SpaceError: if there are none, or they contradict each other.
    """
    points: dict[str, list[ChoicePoint]] = {}
    for point in _points(_made(factory, name), "", {}, 0):
        points.setdefault(point.name, []).append(point)
    if not points:
        raise SpaceError(f"{name} has no Choice, InputChoice or Repeat among its submodules")
    decisions: dict[str, Decision] = {}
    for decision, sharing in points.items():
        _check_same_decision(sharing)
        decisions[decision] = sharing[0].choice.decision(decision, _condition(sharing, decisions))
    return tuple(decisions.values())


@dataclass(frozen=True)
class ChoicePoint:
    """A choice at a position in a model.

    Args:
        path: its dotted path.
        choice: the choice.
        active_if: the options of enclosing decisions under which it exists; empty if it always exists.
    """

    path: str
    choice: DecisionModule
    active_if: Condition

    @property
    def name(self) -> str:
        """Name of its decision."""
        return decision_name(self.choice, self.path)

    @cached_property
    def decision(self) -> Decision:
        """Its decision without the condition."""
        return self.choice.decision(self.name, {})

    def condition_of(self, branch: str) -> Condition | None:
        """Return the condition under which a branch exists; None if it never does."""
        options = self.choice.options_with(branch)
        if len(options) == len(self.decision.options):  # In every option: no further condition.
            return self.active_if
        allowed = tuple(option for option in self.active_if.get(self.name, options) if option in options)
        return {**self.active_if, self.name: allowed} if allowed else None


def _points(module: nn.Module, path: str, active_if: Condition, depth: int) -> Iterator[ChoicePoint]:
    """Yield all choice points in ``module``, each before those in its branches."""
    if isinstance(module, DecisionModule):
        yield from _point_and_inner(ChoicePoint(path, module, active_if), depth)
    elif isinstance(module, ElasticLayer):
        for argument, size in module.size_choices.items():
            yield ChoicePoint(join(path, argument), size, active_if)
    else:
        found = {undecided.path: undecided.module for undecided in undecided_modules(module, path)}
        for inner_path, child in found.items():
            yield from _points(child, inner_path, active_if, depth)


def _point_and_inner(point: ChoicePoint, depth: int) -> Iterator[ChoicePoint]:
    if depth > MAX_DEPTH:
        raise SpaceError(f"choices nest without end at {point.path[:80]!r}…: a candidate contains itself")
    yield point
    for branch in point.choice.factories:
        condition = point.condition_of(branch)
        if condition is not None:
            path = join(point.path, branch)
            yield from _points(_made(partial(point.choice.make, branch), path), path, condition, depth + 1)


def _made(factory: ModuleFactory, subject: str) -> nn.Module:
    """Call a factory on the meta device, twice, as it must make a new module each time."""
    try:
        module = factory()
        second = factory()
    except (NotImplementedError, RuntimeError) as error:
        raise SpaceError(
            f"{subject} cannot be made on the meta device, where tensors have no values: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise SpaceError(f"the factory of {subject} must return an nn.Module, got {type(module).__name__}")
    if module is second:
        raise SpaceError(f"the factory of {subject} returns the same module again; it must make a new one at each call")
    return module


def _check_same_decision(points: Sequence[ChoicePoint]) -> None:
    """Refuse choice points of one name that have no label, or different options."""
    first, *others = points
    for other in others:
        if first.choice.label is None or other.choice.label is None:
            raise SpaceError(
                f"a choice at {first.path!r} and one at {other.path!r} have the same name; give them labels"
            )
        if first.decision != other.decision:
            raise SpaceError(
                f"the choices at {first.path!r} and {other.path!r} share the label {first.name!r} but not their "
                f"options: {list(first.decision.options)} and {list(other.decision.options)}"
            )


def _condition(points: Sequence[ChoicePoint], decisions: Mapping[str, Decision]) -> Condition:
    """Merge the activation conditions of all choice points that share a label (logical OR).

    Raises:
        SpaceError: if the result is not one condition.
    """
    conditions = weakest(point.active_if for point in points)
    condition = merged(conditions, decisions)
    if condition is None:
        listed = " and ".join(f"{p.path!r} (if {dict(p.active_if)})" for p in points if p.active_if in conditions)
        raise SpaceError(
            f"label {points[0].name!r} is used at choice points that depend on different choices: {listed}; use a "
            "label for each"
        )
    return simplified(condition, decisions)
