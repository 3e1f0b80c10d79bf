"""The calls of an actor pool: configs that an actor scores at once, the order of calls, and that of results."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from raynas.core.architecture import Config
from raynas.core.outcome import Result

IN_FLIGHT = 2
"""Number of calls queued per actor, so that it never waits for the driver."""


@dataclass(frozen=True)
class Call:
    """Consecutive configs that an actor scores in one call.

    Args:
        first: number of the first config.
        configs: at least one.
        is_suspect: whether an actor died at its only config, or at one beside it; it gets an actor to itself then.
    """

    first: int
    configs: Sequence[Config]
    is_suspect: bool = False

    def split(self) -> "list[Call]":
        """Make a call of each config; each is suspect."""
        return [Call(self.first + i, [config], is_suspect=True) for i, config in enumerate(self.configs)]


@dataclass(eq=False)
class Worker:
    """An actor, and the calls that it has not answered, oldest first.

    Args:
        actor: Ray's handle.
        starting: the reference to the end of its start; None when it has started.
        since: clock when the first of its calls began.
        overdue: the call at which it was ended because it took too long.
        group: the placement group of an actor that works with other processes; None for one alone.
    """

    actor: Any
    starting: Any
    calls: dict[Any, Call] = field(default_factory=dict)
    since: float = 0.0
    overdue: Call | None = None
    group: PlacementGroup | None = None

    def end(self) -> None:
        """End the actor, and the processes that work with it."""
        ray.kill(self.actor)
        if self.group is not None:
            remove_placement_group(self.group)

    @property
    def seconds(self) -> float:
        """Seconds that the first of its calls takes so far; 0 without one."""
        return time.monotonic() - self.since if self.calls else 0.0

    @property
    def load(self) -> int:
        """The calls in flight, of at most ``IN_FLIGHT``; a suspect one counts as all of them."""
        return sum(IN_FLIGHT if call.is_suspect else 1 for call in self.calls.values())

    def send(self, call: Call) -> None:
        """Send a call to the actor."""
        if not self.calls:
            self.since = time.monotonic()
        self.calls[self.actor.run.remote(call.configs)] = call


class CallQueue:
    """The calls to make: those that were lost first, then new ones.

    Args:
        configs: taken as they are needed.
    """

    def __init__(self, configs: Iterator[Config]) -> None:
        self._configs = configs
        self._n_taken = 0
        self._lost: deque[Call] = deque()

    @property
    def needs_idle_actor(self) -> bool:
        """True if the next call may kill its actor."""
        return bool(self._lost) and self._lost[0].is_suspect

    def next(self, n: int) -> Call | None:
        """Take the next call, of ``n`` configs if it is a new one; None if nothing is left."""
        if self._lost:
            return self._lost.popleft()
        configs = list(islice(self._configs, n))
        self._n_taken += len(configs)
        return Call(self._n_taken - len(configs), configs) if configs else None

    def repeat(self, calls: Iterable[Call]) -> None:
        """Put calls behind the lost ones."""
        self._lost.extend(calls)


class InOrder:
    """Results by the number of their config, given out in that order."""

    def __init__(self) -> None:
        self._results: dict[int, Result] = {}
        self._n_given = 0

    def add(self, first: int, results: Sequence[Result]) -> None:
        """Add the results of a call.

        Args:
            first: number of its first config.
            results: in order.
        """
        self._results.update(enumerate(results, first))

    def ready(self) -> Iterator[Result]:
        """Yield the results before which none is missing."""
        while self._n_given in self._results:
            yield self._results.pop(self._n_given)
            self._n_given += 1


class AsTheyCome(InOrder):
    """Results in the order in which they become known."""

    def ready(self) -> Iterator[Result]:
        """Yield the results that were added and not given out yet."""
        while self._results:
            yield self._results.pop(next(iter(self._results)))
