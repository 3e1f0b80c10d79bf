"""Rules of operations, by the name that ATen gives them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raynas.nn.dimensions.tracing import Trace

Rule = Callable[[Trace, Sequence[Any], Mapping[str, Any], Any], None]
"""Gives the results of an operation their dimensions, given its arguments and results, and ties those of its inputs."""

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of some operations."""

    def add(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return add
