"""SearchSpace: the decisions that make an architecture, and everything that follows from them alone."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.cell_graph import CellGraph
from raynas.core.decision import Decision, Integer, Real
from raynas.core.features import DecisionFeatures, encode
from raynas.core.operation_graph import OperationGraph
from raynas.errors import SpaceError


class SearchSpace(ABC):
    """A set of architectures, and the network that each of them means.

    A subclass gives ``decisions``, ``build`` and ``input_shape``; a catalogue space is a frozen dataclass whose fields
    are the size of its networks, so that ``dataclasses.replace(space, channels=36)`` is the same space made larger.
    """

    input_shape: tuple[int, ...]
    """Shape of one example without the batch: ``(channels, height, width)`` for images."""

    @property
    @abstractmethod
    def decisions(self) -> Sequence[Decision]:
        """The decisions, each after those that its ``active_if`` names."""

    @abstractmethod
    def build(self, arch: Architecture) -> nn.Module:
        """Make the network that ``arch`` means, with fresh weights from torch's global generator.

        Raises:
            SpaceError: if ``arch`` is not a member of the space.
        """

    @property
    def name(self) -> str:
        """What reports call this space."""
        return type(self).__name__

    @property
    def fingerprint(self) -> str:
        """What must be equal for two searches to be about the same networks: their decisions and their sizes."""
        decisions = [(d.name, list(d.options) or repr(d), sorted(d.active_if.items())) for d in self.decisions]
        sizes: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)} if is_dataclass(self) else {}
        text = json.dumps([self.name, self.input_shape, decisions, sizes], default=repr, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

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

    def _complete(self, decide: Callable[[Decision], Option]) -> Architecture:
        """Walk the decisions in order and ask for an option of each active one."""
        options: dict[str, Option] = {}
        for decision in self._decisions.values():
            if decision.is_active(options):
                options[decision.name] = decide(decision)
        return Architecture(options)

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
            option = arch[decision.name]
            if not decision.contains(option):
                legal = ", ".join(map(repr, decision.options[:20])) or "a number in its range"
                raise SpaceError(f"{self.name}: {decision.name!r} cannot be {option!r}; options: {legal}")
            # A searcher may hand out 2.0 for 2, which is equal but has another key.
            return decision.options[decision.options.index(option)] if decision.options else float(option)

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
        names = [n for n, d in self._decisions.items() if n in arch and (d.n_features > 1 or not d.options)]
        if not names:
            raise SpaceError(f"{self.name}: no decision of {arch} has another option")
        changed = names[int(rng.integers(len(names)))]
        option = self._decisions[changed].resample(arch[changed], rng)
        return self._inherit({**arch, changed: option}, rng)

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover: each decision comes from one of the parents in which it is active."""
        mixed = dict(second) | dict(first)
        for name in self._decisions:
            if name in first and name in second and first[name] != second[name] and rng.random() < 0.5:
                mixed[name] = second[name]
        return self._inherit(mixed, rng)

    def _inherit(self, options: Mapping[str, Option], rng: np.random.Generator) -> Architecture:
        return self._complete(lambda d: options[d.name] if d.name in options else d.sample(rng))

    def neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """All architectures that differ in the option of one decision.

        Decisions that this activates take their first option; a continuous one moves one step down and one step up.
        """
        for name in filter(arch.__contains__, self._decisions):
            for option in self._decisions[name].others(arch[name]):
                moved = {**arch, name: option}
                yield self._complete(lambda d, m=moved: m.get(d.name, d.default))  # type: ignore[misc]

    def enumerate(self) -> Iterator[Architecture]:
        """All canonical architectures, the last decision varying fastest.

        Raises:
            SpaceError: if a decision is continuous.
        """
        decisions = list(self._decisions.values())
        if any(not decision.options for decision in decisions):
            raise SpaceError(f"{self.name} has a continuous decision and cannot be enumerated")

        def walk(i: int, options: dict[str, Option]) -> Iterator[Architecture]:
            if i == len(decisions):
                yield Architecture(options)
            elif not decisions[i].is_active(options):
                yield from walk(i + 1, options)
            else:
                for option in decisions[i].options:
                    yield from walk(i + 1, {**options, decisions[i].name: option})

        return walk(0, {})

    @cached_property
    def size(self) -> int | float:
        """How many canonical architectures there are, exactly; ``inf`` with a continuous decision."""
        decisions = list(self._decisions.values())
        if any(not decision.options for decision in decisions):
            return math.inf
        # What the decisions from i on can still depend on: counting needs to remember no more than that.
        needed = [{parent for d in decisions[i:] for parent in d.active_if} for i in range(len(decisions) + 1)]
        counts: dict[tuple[int, frozenset[tuple[str, Option]]], int] = {}

        def count(i: int, options: dict[str, Option]) -> int:
            if i == len(decisions):
                return 1
            decision = decisions[i]
            options = {name: option for name, option in options.items() if name in needed[i]}
            state = (i, frozenset(options.items()))
            if state not in counts:
                if not decision.is_active(options):
                    counts[state] = count(i + 1, options)
                elif decision.name not in needed[i + 1]:
                    counts[state] = len(decision.options) * count(i + 1, options)
                else:
                    counts[state] = sum(count(i + 1, {**options, decision.name: o}) for o in decision.options)
            return counts[state]

        return count(0, {})

    @property
    def n_features(self) -> int:
        """Length of an encoding."""
        return sum(decision.n_features for decision in self._decisions.values())

    def encode(self, arch: Architecture) -> NDArray[np.float64]:
        """One-hot encoding, ``(n_features,)``; an inactive decision is zeros, a continuous one is scaled to [0, 1]."""
        return encode(list(self._decisions.values()), arch)

    @cached_property
    def _features(self) -> DecisionFeatures:
        return DecisionFeatures(list(self._decisions.values()))

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        """What a predictor sees of ``arch``: groups of numbers, each ``(n,)``, by name; see ``DecisionFeatures``.

        A space adds a group for what it knows beyond its decisions. A predictor learns how much each group matters.
        """
        return self._features(arch)

    def function_key(self, arch: Architecture) -> Hashable:
        """Equal for architectures that compute the same function; by default for equal architectures alone.

        Training one of them is enough: what the others score differs by chance only.
        """
        return arch

    def param_space(self) -> dict[str, Any]:
        """The decisions as a flat dict of Tune domains, for ``param_space={"arch": space.param_space(), ...}``.

        Every decision is in it, active or not: ``canonical`` drops what does not matter afterwards, so any Tune
        searcher can take it.
        """
        from ray import tune

        def domain(decision: Decision) -> Any:
            if isinstance(decision, Real):
                return (tune.loguniform if decision.log else tune.uniform)(decision.low, decision.high)
            if isinstance(decision, Integer):
                return tune.randint(decision.low, decision.high + 1)
            return tune.choice(list(decision.options))

        return {name: domain(decision) for name, decision in self._decisions.items()}

    def to_config(self, arch: Architecture) -> dict[str, Any]:
        """The Tune config that stands for ``arch``."""
        return {"arch": arch.to_config()}

    def from_config(self, config: Mapping[str, Any]) -> Architecture:
        """The canonical architecture that a Tune config stands for.

        Raises:
            SpaceError: if it holds none, or one that is not a member.
        """
        return self.canonical(Architecture.from_config(config))

    def point(self, given: Mapping[str, Any]) -> Architecture:
        """Read an architecture, or a whole Tune config, as a canonical point of the space.

        Raises:
            SpaceError: if it is not a member.
        """
        return self.from_config(given if "arch" in given else {"arch": given})

    @property
    def architecture_space(self) -> "SearchSpace":
        """The space of the architectures alone: this one, unless hyperparameters are searched jointly."""
        return self

    def architecture(self, point: Architecture) -> Architecture:
        """Return the architecture in a point: the point itself, unless hyperparameters are searched jointly."""
        return point

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        """Return the cells of ``arch``, from which its picture and its operation graph are made.

        A space of cells overrides this; by default there are none.

        Raises:
            SpaceError: if ``arch`` is not a member of the space.
        """
        return ()

    def operation_graph(self, arch: Mapping[str, Option]) -> OperationGraph:
        """Return the graph that predictors learn from: of the cells, or else a chain with a node for each decision.

        Two architectures with the same graph of cells compute the same function.

        Raises:
            SpaceError: if ``arch`` is not a member of the space.
        """
        if cells := self.cell_graphs(arch):
            return OperationGraph.of_cells(cells)
        options = self.canonical(arch)
        return OperationGraph.chain([d.label(options[d.name]) for d in self._decisions.values() if d.name in options])

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> torch.Tensor:
        """Zeros of shape ``(batch_size, *input_shape)``."""
        return torch.zeros((batch_size, *self.input_shape), device=device)

    def check(self, n_samples: int = 20, seed: int = 0) -> None:
        """Build members that together show every option, run each on the meta device, and name the choices that broke.

        Args:
            n_samples: random members tried besides those that show an option not seen yet.
            seed: of the random members.

        Raises:
            SpaceError: if a member cannot be built or run; names the options that only broken members have.
        """
        broken: dict[Architecture, Exception] = {}
        fine: set[tuple[str, Option]] = set()
        for arch in self.showcase(n_samples, seed):
            try:
                with torch.device("meta"), torch.no_grad():
                    self.build(arch).eval()(self.example_input(2, "meta"))
                fine |= set(arch.items())
            except Exception as error:
                broken[arch] = error
        if broken:
            arch, cause = next(iter(broken.items()))
            guilty = sorted({f"{n}={o!r}" for a in broken for n, o in a.items() if (n, o) not in fine})
            raise SpaceError(
                f"{self.name}: {len(broken)} members cannot be built and run; options that only these have: "
                f"{', '.join(guilty) or 'none (a combination breaks)'}; first: {arch}: {cause}"
            ) from cause

    def showcase(self, n_samples: int = 0, seed: int = 0) -> Iterator[Architecture]:
        """Members that together show every option of every decision.

        Args:
            n_samples: random members that come first.
            seed: of what is random.
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
        """Options under which ``decision`` is active."""
        options: dict[str, Option] = {}
        for parent, allowed in decision.active_if.items():
            options |= self._activate(self._decisions[parent]) | {parent: allowed[0]}
        return options
