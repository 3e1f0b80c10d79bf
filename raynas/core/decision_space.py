"""DecisionSpace: all that follows from decisions alone: membership, moves, counting, encoding."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture, Option, plain_option
from raynas.core.coded_decisions import CodedDecisions
from raynas.core.decision import Decision
from raynas.core.enumeration import count, enumerated
from raynas.core.features import encode
from raynas.errors import SpaceError


class DecisionSpace(ABC):
    """The combinatorial half of a ``SearchSpace``; a subclass gives ``decisions``."""

    @property
    @abstractmethod
    def decisions(self) -> Sequence[Decision]:
        """The decisions, each after those that its ``active_if`` names."""

    @property
    def name(self) -> str:
        """The name of the space in reports."""
        return type(self).__name__

    @cached_property
    def _decisions(self) -> dict[str, Decision]:
        """The decisions by name, checked once."""
        known: dict[str, Decision] = {}
        for decision in self.decisions:
            if decision.name in known or "/" in decision.name:
                raise SpaceError(f"{self.name}: decision {decision.name!r} stands twice or holds a '/'; rename it")
            for parent in decision.active_if:
                if parent not in known:
                    raise SpaceError(f"{self.name}: {decision.name!r} depends on {parent!r}, which must come before it")
            known[decision.name] = decision
        if not known:
            raise SpaceError(f"{self.name}: there is nothing to decide")
        return known

    @cached_property
    def coded(self) -> CodedDecisions:
        """The moves of many architectures in one pass."""
        return CodedDecisions(self._decisions.values())

    def _complete(self, decide: Callable[[Decision], Option]) -> Architecture:
        """Walk the decisions in order and ask for an option of each active one."""
        options: dict[str, Option] = {}
        for decision in self._decisions.values():
            if decision.is_active(options):
                options[decision.name] = decide(decision)
        return Architecture(options)

    @cached_property
    def default(self) -> Architecture:
        """The architecture of the first option of every decision, and of the middle of each continuous one."""
        return self._complete(lambda decision: decision.default)

    @property
    def natural_baseline(self) -> Architecture | None:
        """The architecture that relative limits refer to where nobody names one; None if none stands out."""
        return None

    def canonical(self, arch: Mapping[str, Option]) -> Architecture:
        """Drop the inactive decisions, so that equal networks are equal keys.

        Raises:
            SpaceError: if a name is unknown, an active decision is missing, or an option is not one of the decision's.
        """
        if unknown := arch.keys() - self._decisions.keys():
            raise SpaceError(f"{self.name} has no decision {sorted(unknown)[0]!r}; known: {', '.join(self._decisions)}")

        def checked(decision: Decision) -> Option:
            if decision.name not in arch:
                raise SpaceError(f"{self.name}: the architecture lacks decision {decision.name!r}")
            option = plain_option(decision.name, arch[decision.name])
            if not decision.contains(option):
                legal = ", ".join(map(repr, decision.options[:20])) or "a number in its range"
                raise SpaceError(f"{self.name}: {decision.name!r} cannot be {option!r}; options: {legal}")
            return decision.member(option)

        return self._complete(checked)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw each active decision uniformly."""
        return self._complete(lambda decision: decision.sample(rng))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Change one active decision that has alternatives, chosen uniformly; decisions this activates are drawn.

        Raises:
            SpaceError: if no decision has an alternative.
        """
        # In the order of the space, not of arch: one that was read from JSON must mutate alike.
        names = [n for n, d in self._decisions.items() if n in arch and len(d.options) != 1]
        if not names:
            raise SpaceError(f"{self.name}: no decision of {arch} has another option")
        changed = names[int(rng.integers(len(names)))]
        option = self._decisions[changed].resample(arch[changed], rng)
        return self._inherit({**arch, changed: option}, rng)

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover: take each decision from one of the parents in which it is active."""
        mixed = dict(second) | dict(first)
        for name in self._decisions:
            if name in first and name in second and first[name] != second[name] and rng.random() < 0.5:
                mixed[name] = second[name]
        return self._inherit(mixed, rng)

    def _inherit(self, options: Mapping[str, Option], rng: np.random.Generator) -> Architecture:
        """Keep the given options of active decisions, and draw the others."""
        return self._complete(lambda d: options[d.name] if d.name in options else d.sample(rng))

    def neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """Yield all architectures that differ in the option of one decision.

        Decisions that this activates take their first option; a continuous one moves one step down and one step up.
        """
        for name in filter(arch.__contains__, self._decisions):
            for option in self._decisions[name].others(arch[name]):
                moved = {**arch, name: option}
                yield self._complete(lambda d, m=moved: m.get(d.name, d.default))  # type: ignore[misc]

    @cached_property
    def size(self) -> int | float:
        """The exact number of canonical architectures; ``inf`` with a continuous decision."""
        return count(list(self._decisions.values())) if self._is_discrete else math.inf

    @property
    def _is_discrete(self) -> bool:
        return all(decision.options for decision in self._decisions.values())

    def enumerate(self) -> Iterator[Architecture]:
        """Yield all canonical architectures, the last decision varying fastest.

        Raises:
            SpaceError: if a decision is continuous.
        """
        if not self._is_discrete:
            raise SpaceError(f"{self.name} has a continuous decision and cannot be enumerated")
        return enumerated(list(self._decisions.values()))

    def showcase(self, n_samples: int = 0, seed: int = 0) -> Iterator[Architecture]:
        """Yield members that together show every option of every decision.

        Args:
            n_samples: number of random members before them.
            seed: of the random members and decisions.
        """
        rng = np.random.default_rng(seed)
        shown: set[tuple[str, Option]] = set()
        for _ in range(n_samples):
            arch = self.sample(rng)
            shown |= set(arch.items())
            yield arch
        for decision in self._decisions.values():
            for option in decision.options:
                if (decision.name, option) not in shown:
                    arch = self._inherit({**self._activate(decision), decision.name: option}, rng)
                    shown |= set(arch.items())
                    yield arch

    def _activate(self, decision: Decision) -> dict[str, Option]:
        """Choose options under which ``decision`` is active."""
        options: dict[str, Option] = {}
        for parent, allowed in decision.active_if.items():
            options |= self._activate(self._decisions[parent]) | {parent: allowed[0]}
        return options

    @property
    def n_features(self) -> int:
        """The length of an encoding."""
        return sum(decision.n_features for decision in self._decisions.values())

    def encode(self, arch: Architecture) -> NDArray[np.float64]:
        """Encode one-hot, ``(n_features,)``; an inactive decision is zeros, a continuous one is scaled to [0, 1]."""
        return encode(list(self._decisions.values()), arch)
