"""Strict fairness: every option is trained as often as every other (Chu et al., "FairNAS", ICCV 2021).

arXiv:1907.01845.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.oneshot.base import Batch, OneShot, Setup
from raynas.oneshot.single_path import SinglePathLearner


@dataclass(frozen=True, kw_only=True)
class Fair(OneShot):
    """Subnets that together hold every option exactly once, and one update per step (FairNAS; Chu et al., ICCV 2021).

    m is the number of options, which all decisions of the paper's space have in common. Elsewhere:

    - m is the most options that a decision which is always active has;
    - options are dealt like cards: a decision's are shuffled, and again when none is left, so that at any time of an
      epoch no option of an active decision was trained twice more often than another; one with m options is strictly
      fair in each step;
    - a decision that is active under a condition deals a card where it is active, so it is fair among its own options.

    Gradients are summed, as published: a part that all subnets share gets m of them.
    """

    def start(self, setup: Setup) -> "FairLearner":
        return FairLearner(setup)


class FairLearner(SinglePathLearner):
    """Carries ``Fair`` out."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        decisions = self.supernet.space.decisions
        self.n_paths = max(len(decision.options) for decision in decisions if not decision.active_if)
        self._decks: dict[str, list[Option]] = {}

    def begin_epoch(self) -> None:
        super().begin_epoch()
        self._decks = {}  # An epoch must not depend on what the one before left over.

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        inputs, targets = train
        loss_of = self.supervised(targets)
        losses = [self.accumulate(inputs, self.drawn(), loss_of) for _ in range(self.n_paths)]
        self.apply_gradients()
        return torch.stack(losses).mean()

    def drawn(self) -> Architecture:
        """Deal an option to each active decision."""
        options: dict[str, Option] = {}
        for decision in self.supernet.space.decisions:
            if decision.is_active(options):
                options[decision.name] = self._card(decision)
        return Architecture(options)

    def _card(self, decision: Decision) -> Option:
        deck = self._decks.setdefault(decision.name, [])
        if not deck:
            deck += [decision.options[i] for i in self.rng.permutation(len(decision.options))]
        return deck.pop()
