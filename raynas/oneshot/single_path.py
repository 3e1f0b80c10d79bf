"""Single path training with uniform sampling (Guo et al., "Single Path One-Shot", ECCV 2020, arXiv:1904.00420)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.oneshot.base import Batch, Learner, OneShot, Setup

N_CANDIDATES = 5
"""Number of random subnets whose accuracy measures progress."""


@dataclass(frozen=True, kw_only=True)
class SinglePath(OneShot):
    """One uniformly drawn subnet per step (SPOS; Guo et al., ECCV 2020, arXiv:1904.00420)."""

    def start(self, setup: Setup) -> "SinglePathLearner":
        return SinglePathLearner(setup)


class SinglePathLearner(Learner):
    """Carries ``SinglePath`` out; base of the methods that train sampled subnets for a search to follow."""

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        images, labels = train
        loss = self.accumulate(images, self.drawn(), self.supervised(labels))
        self.apply_gradients()
        return loss

    def drawn(self) -> Architecture:
        """Draw the next subnet."""
        return self.random_subnet()

    def candidates(self) -> Sequence[Architecture]:
        return self.sampled(N_CANDIDATES)
