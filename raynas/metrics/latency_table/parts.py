"""The parts that a network is divided into: operations that are timed alone, and what joins them."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from raynas.metrics.latency_table.calls import Call

MAX_UNSEEN = 0.02
"""Largest share of a module's calls in new networks that may be expected to be ones never seen, if it is timed whole.

With half of it, two of a hundred blocks of a new network would be looked up in smaller parts.
"""


@dataclass
class Parts:
    """A network, divided.

    Args:
        timed: calls that are in the table.
        missing: calls that should be, and are not.
        n_joining: number of operations beside them, such as the sum of two branches.
        joining_elements: number of values that these put out.
    """

    timed: list[Call] = field(default_factory=list)
    missing: list[Call] = field(default_factory=list)
    n_joining: int = 0
    joining_elements: int = 0

    @classmethod
    def of(cls, network: Call, keys: Collection[str]) -> "Parts":
        """Divide a network into calls of which a table has the keys; what it lacks is divided as far as possible."""
        parts = cls()
        for call in network.children or [network]:
            parts._add(call, keys)
        if network.children:
            parts._join(network)
        return parts

    def _add(self, call: Call, keys: Collection[str]) -> None:
        if call.can_be_timed and call.key in keys:
            self.timed.append(call)
        elif call.can_be_timed and not call.can_be_divided:
            self.missing.append(call)
        else:
            self._join(call)
            for child in call.children:
                self._add(child, keys)

    def _join(self, call: Call) -> None:
        self.n_joining += call.n_own
        self.joining_elements += call.own_elements


def whole_kinds(networks: Sequence[Call], *, are_all: bool) -> frozenset[str]:
    """Return the kinds of modules that are timed whole, because few networks can hold one that was not seen.

    The probability that the next call of a kind is one that was never seen is about the share of calls that were seen
    once (I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika
    1953). A cell of many edges is nearly always new, and is divided; a block or a convolution is not.

    Args:
        networks: different random networks of the space.
        are_all: True if they are all of them, so that there is no other.
    """
    seen: dict[str, Counter[str]] = {}
    for network in networks:
        inside = (call for child in network.children for call in child.all() if call.can_be_timed)
        for kind, key in {(call.kind, call.key) for call in inside}:
            seen.setdefault(kind, Counter())[key] += 1
    return frozenset(kind for kind, counts in seen.items() if are_all or unseen(counts) <= MAX_UNSEEN)


def unseen(counts: Counter[str]) -> float:
    """Return the share of draws that were seen once: about the probability that the next was never seen."""
    return sum(n == 1 for n in counts.values()) / max(1, counts.total())


def to_be_timed(network: Call, kinds: Collection[str]) -> list[Call]:
    """Return the calls of a network that are timed alone: of the kinds that are timed whole, or indivisible."""
    found: list[Call] = []
    _collect(network.children or [network], kinds, found)
    return found


def _collect(calls: Iterable[Call], kinds: Collection[str], found: list[Call]) -> None:
    for call in calls:
        if call.can_be_timed and (call.kind in kinds or not call.can_be_divided):
            found.append(call)
        else:
            _collect(call.children, kinds, found)
