"""Single path training with uniform sampling (Guo et al., "Single Path One-Shot", ECCV 2020, arXiv:1904.00420)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.oneshot.base import Batch, Learner, OneShot, Setup
from raynas.oneshot.subnet_aware import ComplexityAwareRate, SeparateMomenta, check_gamma

N_CANDIDATES = 5
"""Number of random subnets whose accuracy measures progress."""


@dataclass(frozen=True, kw_only=True)
class SinglePath(OneShot):
    """One uniformly drawn subnet per step (SPOS; Guo et al., ECCV 2020, arXiv:1904.00420).

    The two options are those of Jeon et al. (CVPR 2025, arXiv:2503.10740), who have 4 and True.

    Args:
        complexity_aware_lr: largest exponent of a learning rate that falls as ``(1 - progress) ** exponent``, later for
            subnets with more parameters; it replaces schedule and warm-up of the training. None for these.
        separate_momentum: whether subnets with different options of one decision have each their own momentum.

    Raises:
        SettingError: if the exponent is out of range.
    """

    complexity_aware_lr: float | None = None
    separate_momentum: bool = False

    def __post_init__(self) -> None:
        check_gamma(self.complexity_aware_lr)

    def start(self, setup: Setup) -> "SinglePathLearner":
        if self.complexity_aware_lr is None and not self.separate_momentum:
            return SinglePathLearner(setup)
        return SubnetAwareLearner(setup, self)


class SinglePathLearner(Learner):
    """Carries ``SinglePath`` out; base of the methods that train sampled subnets for a search to follow."""

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        inputs, targets = train
        loss = self.accumulate(inputs, self.drawn(), self.supervised(targets))
        self.apply_gradients()
        return loss

    def drawn(self) -> Architecture:
        """Draw the next subnet."""
        return self.random_subnet()

    def candidates(self) -> Sequence[Architecture]:
        return self.sampled(N_CANDIDATES)


class SubnetAwareLearner(SinglePathLearner):
    """Carries ``SinglePath`` out with a learning rate or a momentum of the subnet's."""

    def __init__(self, setup: Setup, settings: SinglePath) -> None:
        super().__init__(setup)
        gamma_max = settings.complexity_aware_lr
        self.rate = ComplexityAwareRate(setup.supernet, gamma_max) if gamma_max is not None else None
        self.momenta = SeparateMomenta(setup) if settings.separate_momentum else None
        self._highest = [group["lr"] for group in setup.optimizer.param_groups]

    def drawn(self) -> Architecture:
        """Draw the next subnet, and set the optimizer for it."""
        arch = super().drawn()
        if self.rate is not None:
            factor = self.rate.factor(arch, self.progress)
            for group, highest in zip(self.setup.optimizer.param_groups, self._highest, strict=True):
                group["lr"] = highest * factor
        if self.momenta is not None:
            self.momenta.choose(arch)
        return arch

    def state_dict(self) -> dict[str, Any]:
        momenta = {"momenta": self.momenta.state_dict()} if self.momenta is not None else {}
        return {**super().state_dict(), **momenta}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.momenta is not None:
            self.momenta.load_state_dict(state["momenta"])
