"""All assignments of discrete, conditional decisions: one by one, and their number."""

from collections.abc import Iterator, Sequence

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision


def enumerated(decisions: Sequence[Decision]) -> Iterator[Architecture]:
    """Yield every canonical assignment, the last decision varying fastest.

    Args:
        decisions: none of them continuous, each after those that it depends on.
    """

    def walk(i: int, options: dict[str, Option]) -> Iterator[Architecture]:
        if i == len(decisions):
            yield Architecture(options)
        elif not decisions[i].is_active(options):
            yield from walk(i + 1, options)
        else:
            for option in decisions[i].options:
                yield from walk(i + 1, {**options, decisions[i].name: option})

    return walk(0, {})


def count(decisions: Sequence[Decision]) -> int:
    """Return the number of canonical assignments, without walking through them.

    Args:
        decisions: as for ``enumerated``.
    """
    # needed[i]: the decisions on which those from i on can still depend; counting remembers the options of no others.
    needed = [{parent for d in decisions[i:] for parent in d.active_if} for i in range(len(decisions) + 1)]
    counts: dict[tuple[int, frozenset[tuple[str, Option]]], int] = {}

    def count_from(i: int, options: dict[str, Option]) -> int:
        if i == len(decisions):
            return 1
        decision = decisions[i]
        options = {name: option for name, option in options.items() if name in needed[i]}
        state = (i, frozenset(options.items()))
        if state not in counts:
            if not decision.is_active(options):
                counts[state] = count_from(i + 1, options)
            elif decision.name not in needed[i + 1]:
                counts[state] = len(decision.options) * count_from(i + 1, options)
            else:
                counts[state] = sum(count_from(i + 1, {**options, decision.name: o}) for o in decision.options)
        return counts[state]

    return count_from(0, {})
