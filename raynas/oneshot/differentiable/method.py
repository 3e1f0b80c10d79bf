"""Differentiable architecture search: the settings that the published methods choose from, freely combined."""

from dataclasses import dataclass, field
from typing import ClassVar

from raynas.errors import RaynasError, SettingError
from raynas.oneshot.base import OneShot, Setup
from raynas.oneshot.differentiable.costs import ExpectedCost
from raynas.oneshot.differentiable.learner import DifferentiableLearner
from raynas.oneshot.differentiable.order import require_sgd
from raynas.oneshot.differentiable.perturbation import Perturbation
from raynas.oneshot.differentiable.regularisers import Regulariser
from raynas.oneshot.differentiable.reinforce import Reinforce
from raynas.oneshot.differentiable.relaxation import BinaryGates, GumbelArgmax, Relaxation, Softmax
from raynas.oneshot.differentiable.stages import Stage
from raynas.oneshot.differentiable.stopping import StopRule
from raynas.oneshot.differentiable.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Differentiable(OneShot):
    """Learns the weights of all ways of a decision by gradient, in turn with the shared weights.

    The published methods are its subclasses, which only set these fields. Durations are shares of the training, so that
    a short search is a scaled-down long one.

    Args:
        relaxation: how architecture parameters become weights.
        reinforce: takes the gradient from the accuracy of drawn networks; needs a relaxation whose steps of the weights
            compute one option, such as ``BinaryGates``; None for the gradient of the loss.
        second_order: whether the gradient looks one training step ahead; needs SGD, and costs some three times as much.
        partial_channels: k, of which 1/k of the channels goes through operations; needs a space whose choices can be
            narrow.
        edge_normalisation: give inputs their own weights, by a softmax over those of a node.
        warmup: the share of each stage in which architecture parameters rest.
        arch_lr: learning rate of Adam for the architecture parameters.
        arch_betas: its betas.
        arch_weight_decay: its weight decay.
        init_scale: standard deviation of the architecture parameters at the beginning.
        no_operation: whether "no operation" competes with the options of a Choice that has it; it is never derived.
        threshold: weight below which a derived operation counts as weak, which each epoch reports as ``weak_share``.
        regularisers: what is added to the loss of the architecture.
        costs: expected costs in the loss of the architecture.
        auxiliary_skip: weight of a second skip connection beside every Choice that has one, at the beginning; it falls
            linearly to zero (Chu et al., "DARTS-", ICLR 2021, arXiv:2009.01027).
        perturbation: how weights are moved before a step of the shared weights.
        max_skips: the most skip connections in a cell of the derived architecture.
        exempt: cells that ``max_skips`` does not hold for, by what stands before the first dot of their decisions.
        stages: the parts of the search.
        stop: ends the search early; None for never.
        watch: what is measured after each epoch.

    Raises:
        SettingError: if a number is out of range.
    """

    needs_classes: ClassVar[bool] = True
    uses_valid: ClassVar[bool] = True

    relaxation: Relaxation = field(default_factory=Softmax)
    reinforce: Reinforce | None = None
    second_order: bool = False
    partial_channels: int = 1
    edge_normalisation: bool = False
    warmup: float = 0.0
    arch_lr: float = 3e-4
    arch_betas: tuple[float, float] = (0.5, 0.999)
    arch_weight_decay: float = 1e-3
    init_scale: float = 1e-3
    no_operation: bool = True
    threshold: float = 0.0
    regularisers: tuple[Regulariser, ...] = ()
    costs: tuple[ExpectedCost, ...] = ()
    auxiliary_skip: float = 0.0
    perturbation: Perturbation | None = None
    max_skips: int | None = None
    exempt: tuple[str, ...] = ("reduce",)
    stages: tuple[Stage, ...] = (Stage(),)
    stop: StopRule | None = None
    watch: Watch = field(default_factory=Watch)

    def __post_init__(self) -> None:
        if self.partial_channels < 1 or not self.stages:
            raise SettingError(f"partial_channels must be at least 1 and there must be a stage, got {self}")
        if not 0 <= self.warmup < 1:
            raise SettingError(f"warmup must be in [0, 1), got {self.warmup}")
        if self.arch_lr <= 0 or min(self.arch_weight_decay, self.init_scale, self.auxiliary_skip) < 0:
            raise SettingError(f"rates must be positive, and decay, scale and auxiliary_skip not negative, got {self}")
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"threshold must be in [0, 1], got {self.threshold}")
        if not all(0 <= beta < 1 for beta in self.arch_betas):
            raise SettingError(f"arch_betas must be in [0, 1), got {self.arch_betas}")
        if self.max_skips is not None and self.max_skips < 0:
            raise SettingError(f"max_skips must not be negative, got {self.max_skips}")
        if self.reinforce and (self.second_order or not isinstance(self.relaxation, BinaryGates | GumbelArgmax)):
            raise SettingError(
                "reinforce needs the first order and a relaxation that draws: BinaryGates or GumbelArgmax"
            )
        if self.second_order and not self.uses_valid:
            raise SettingError("the second order needs held-out batches")

    def start(self, setup: Setup) -> DifferentiableLearner:
        if self.second_order:
            require_sgd(setup.optimizer)
        if len({cost.name for cost in self.costs}) < len(self.costs):
            raise RaynasError("every cost must have a name of its own")
        return DifferentiableLearner(self, setup)
