"""Outcomes of modules, remembered by situation: shapes of inputs and the options of the decisions that are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.metrics.mac_counter import MAX_KNOWN, MacCounter
from raynas.metrics.option_costs import NoSumError
from raynas.nn.selection import Call

Widths = dict[nn.Module, tuple[int, int]]
"""Input channels of the elastic layers that a pass reaches, and the parameters of each."""


@dataclass(frozen=True)
class Outcome:
    """Results of a module in a situation.

    Args:
        output: on the meta device.
        macs: multiply-adds, of the modules inside too.
        widths: of the elastic layers inside.
        read: the decisions that were read, in this order.
    """

    output: object
    macs: int
    widths: Widths
    read: Sequence[str]


@dataclass(frozen=True)
class _Question:
    """A decision that a module reads: what follows from each option, another one or the outcome."""

    name: str
    answers: "dict[Option | None, _Question | Outcome]" = field(default_factory=dict)


@dataclass(eq=False)
class CostPass(Call):
    """A forward pass of one architecture that adds up what it meets."""

    counter: MacCounter = field(default_factory=lambda: MacCounter({}))
    plain_layers: Widths = field(default_factory=dict)
    read: dict[str, None] = field(default_factory=dict)

    def of(self, name: str) -> Option:
        """Return the option of a decision."""
        self.read[name] = None
        return cast(Option, super().of(name))

    def outcome_of(self, compute: Callable[[], object]) -> Outcome:
        """Compute the outcome of a module; of it, only the multiply-adds are added."""
        outside, before = (self.plain_layers, self.read), self.counter.macs
        self.plain_layers, self.read = {}, {}
        output = compute()
        outcome = Outcome(output, self.counter.macs - before, self.plain_layers, tuple(self.read))
        self.plain_layers, self.read = outside
        return outcome

    def add(self, outcome: Outcome) -> None:
        """Add the widths and decisions of an outcome."""
        self.read.update(dict.fromkeys(outcome.read))
        for layer, width in outcome.widths.items():
            if self.plain_layers.setdefault(layer, width) != width:
                raise NoSumError("different widths reach the same elastic layer")


class OutcomeMemory:
    """Outcomes of modules in their situations, each behind the questions that lead to it."""

    def __init__(self) -> None:
        self._known: dict[object, _Question | Outcome] = {}
        self._n_known = 0

    @property
    def is_full(self) -> bool:
        """True if there is no room for more."""
        return self._n_known > MAX_KNOWN

    def clear(self) -> None:
        """Forget all outcomes."""
        self._known.clear()
        self._n_known = 0

    def outcome(self, situation: object, options: Mapping[str, object]) -> Outcome | None:
        """Return the outcome of a module and its inputs, given the options of decisions; None if it is not known."""
        node = self._known.get(situation)
        while isinstance(node, _Question):
            node = node.answers.get(cast(Option, options.get(node.name)))
        return node

    def store(self, situation: object, outcome: Outcome, options: Mapping[str, object]) -> None:
        """Store an outcome."""
        answers, key = self._known, situation
        for name in outcome.read:
            question = answers.setdefault(key, _Question(name))
            answers, key = cast(dict[object, _Question | Outcome], cast(_Question, question).answers), options[name]
        answers[key] = outcome
        self._n_known += 1


def is_plain(value: object) -> bool:
    """Return True if a value is made of tensors and constants, which nothing can change behind one's back."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (Tensor, bool, int, float, str))
