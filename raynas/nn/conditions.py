"""Activation conditions of choice points: implication, logical OR, and simplification."""

from collections.abc import Iterable, Mapping, Sequence

from raynas.core.decision import Condition, Decision


def implies(first: Condition, second: Condition) -> bool:
    """Return whether ``second`` holds wherever ``first`` does."""
    return all(parent in first and set(first[parent]) <= set(allowed) for parent, allowed in second.items())


def weakest(conditions: Iterable[Condition]) -> list[Condition]:
    """Drop every condition that implies another one, which leaves their logical OR unchanged."""
    kept: list[Condition] = []
    for condition in conditions:
        if not any(implies(condition, other) for other in kept):
            kept = [other for other in kept if not implies(other, condition)] + [condition]
    return kept


def merged(conditions: Sequence[Condition], decisions: Mapping[str, Decision]) -> Condition | None:
    """Return the logical OR of conditions; None if that is not one condition.

    Args:
        conditions: at least one, of which none implies another.
        decisions: those that the conditions name.
    """
    if len(conditions) == 1:
        return conditions[0]
    different = {p for c in conditions for p in c if any(other.get(p) != c[p] for other in conditions)}
    if len(different) > 1 or len({frozenset(condition) for condition in conditions}) > 1:
        return None
    parent = different.pop()
    allowed = tuple(o for o in decisions[parent].options if any(o in condition[parent] for condition in conditions))
    return {**conditions[0], parent: allowed}


def simplified(condition: Condition, decisions: Mapping[str, Decision]) -> Condition:
    """Drop the entries that allow every option, and those that follow from the others."""
    needed = {parent: allowed for parent, allowed in condition.items() if len(allowed) < len(decisions[parent].options)}

    def follows(parent: str) -> bool:
        conditions = (decisions[other].active_if for other in needed if other != parent)
        return any(parent in c and set(c[parent]) <= set(needed[parent]) for c in conditions)

    return {parent: allowed for parent, allowed in needed.items() if not follows(parent)}
