"""The published methods: each is ``Differentiable`` with the settings of its paper, any of which can be overridden."""

from dataclasses import dataclass, field
from typing import ClassVar

from raynas.oneshot.differentiable.method import Differentiable
from raynas.oneshot.differentiable.perturbation import AdversarialPerturbation, Perturbation, RandomPerturbation
from raynas.oneshot.differentiable.regularisers import Regulariser, ZeroOne
from raynas.oneshot.differentiable.relaxation import (
    BinaryGates,
    Concrete,
    Dirichlet,
    GumbelArgmax,
    Relaxation,
    Sigmoid,
)
from raynas.oneshot.differentiable.stages import Stage
from raynas.oneshot.differentiable.stopping import EigenvalueJump, SkipCount, StopRule
from raynas.oneshot.differentiable.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Darts(Differentiable):
    """DARTS, first order (Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv:1806.09055)."""


@dataclass(frozen=True, kw_only=True)
class DartsSecondOrder(Differentiable):
    """DARTS, second order (Liu et al., ICLR 2019, arXiv:1806.09055)."""

    second_order: bool = True


@dataclass(frozen=True, kw_only=True)
class Gdas(Differentiable):
    """GDAS: one path, drawn (Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019).

    arXiv:1910.04465.
    """

    relaxation: Relaxation = field(default_factory=GumbelArgmax)


@dataclass(frozen=True, kw_only=True)
class Snas(Differentiable):
    """SNAS: weights drawn, both trained on the same batch (Xie et al., ICLR 2019, arXiv:1812.09926).

    The cost of the paper's section 2.4 is one of ``costs``.
    """

    uses_valid: ClassVar[bool] = False
    relaxation: Relaxation = field(default_factory=Concrete)


@dataclass(frozen=True, kw_only=True)
class Proxyless(Differentiable):
    """ProxylessNAS by gradient: binary gates, two paths (Cai et al., ICLR 2019, arXiv:1812.00332).

    Adam has no momentum and no decay, so that what was not drawn stays. The authors train the architecture in every
    fifth step only, on a separate split; here in every step. The watch looks at all paths at once, which takes the
    memory that the method saves: ``eigenvalue_every`` is 0. The paper's other way is
    ``Proxyless(reinforce=Reinforce())``.
    """

    relaxation: Relaxation = field(default_factory=BinaryGates)
    arch_lr: float = 1e-3
    arch_betas: tuple[float, float] = (0.0, 0.999)
    arch_weight_decay: float = 0.0
    warmup: float = 0.2
    watch: Watch = field(default_factory=lambda: Watch(eigenvalue_every=0))


@dataclass(frozen=True, kw_only=True)
class PcDarts(Differentiable):
    """PC-DARTS: a quarter of the channels, weights for edges (Xu et al., ICLR 2020, arXiv:1907.05737)."""

    partial_channels: int = 4
    edge_normalisation: bool = True
    warmup: float = 0.3  # 15 of 50 epochs.
    arch_lr: float = 6e-4


def _growing() -> tuple[Stage, ...]:
    return (
        Stage(space={"cells": 5}, fresh=True),
        Stage(space={"cells": 11}, keep=5, fresh=True, skip_dropout=0.4),
        Stage(space={"cells": 17}, keep=3, fresh=True, skip_dropout=0.7),
    )


@dataclass(frozen=True, kw_only=True)
class PDarts(Differentiable):
    """P-DARTS: three stages of growing depth and fewer operations (Chen et al., ICCV 2019, arXiv:1904.12760).

    The numbers are those for CIFAR-10: 5, 11 and 17 cells with 8, 5 and 3 operations, dropout behind skip connections,
    at most two of which a normal cell has in the end. Needs a space with a field ``cells``, whose decisions do not
    depend on it. Deviation: the learning rate of the weights follows one schedule, where the authors restart it at
    each stage.
    """

    warmup: float = 0.4  # 10 of the 25 epochs of a stage.
    arch_lr: float = 6e-4
    max_skips: int | None = 2
    stages: tuple[Stage, ...] = field(default_factory=_growing)


@dataclass(frozen=True, kw_only=True)
class DrNas(Differentiable):
    """DrNAS: weights from a learned Dirichlet distribution, in two stages (Chen et al., ICLR 2021, arXiv:2006.10355).

    First a sixth of the channels and all seven operations, then a quarter and four operations, as in the authors'
    program for CIFAR-10, which searches the space of DARTS at its final size of 36 channels: widths must be multiples
    of 12. For a space whose choices cannot be narrow: ``DrNas(partial_channels=1, stages=(Stage(),))``. Parameters are
    kept small by weight decay, the authors' default; the paper's divergence is ``arch_weight_decay=0`` with
    ``regularisers=(DirichletAnchor(),)``. Edges are ranked by a softmax. Deviations: poolings have batch norms in the
    search, as in DARTS, and copied channels are not drawn.
    """

    relaxation: Relaxation = field(default_factory=Dirichlet)
    arch_lr: float = 6e-4
    warmup: float = 0.4  # 10 of the 25 epochs of a stage.
    no_operation: bool = False
    partial_channels: int = 6
    stages: tuple[Stage, ...] = (Stage(), Stage(partial_channels=4, keep=4))


@dataclass(frozen=True, kw_only=True)
class FairDarts(Differentiable):
    """Fair DARTS: sigmoids, and a loss that drives them to 0 or 1 (Chu et al., ECCV 2020, arXiv:1911.12126).

    "No operation" does not compete. Deviations: the authors leave out edges whose best weight is below 0.85; here an
    architecture has as many as its space says, and ``weak_share`` reports the share that they would leave out. Their
    program adds the loss at 0 and 1 to that of the weights too, where it has no gradient.
    """

    arch_lr: float = 3e-3
    arch_betas: tuple[float, float] = (0.9, 0.999)
    init_scale: float = 0.0
    no_operation: bool = False
    threshold: float = 0.85

    relaxation: Relaxation = field(default_factory=Sigmoid)
    regularisers: tuple[Regulariser, ...] = (ZeroOne(),)


@dataclass(frozen=True, kw_only=True)
class RobustDarts(Differentiable):
    """R-DARTS (ES): ends when the dominant eigenvalue jumps (Zela et al., ICLR 2020, arXiv:1909.09656)."""

    stop: StopRule | None = field(default_factory=EigenvalueJump)
    watch: Watch = field(default_factory=lambda: Watch(eigenvalue_every=1))


@dataclass(frozen=True, kw_only=True)
class DartsPlus(Differentiable):
    """DARTS+: ends at two skip connections in a cell (Liang et al., 2019, arXiv:1909.06035).

    The paper's second criterion is ``DartsPlus(stop=StableOrder())``.
    """

    stop: StopRule | None = field(default_factory=SkipCount)


@dataclass(frozen=True, kw_only=True)
class DartsMinus(Differentiable):
    """DARTS-: a second skip connection takes over what skips do for training (Chu et al., ICLR 2021, arXiv:2009.01027).

    Deviation: where a skip connection halves the image, both share their weights.
    """

    auxiliary_skip: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SmoothDarts(Differentiable):
    """SDARTS-RS: the weights are trained under random perturbation (Chen and Hsieh, ICML 2020, arXiv:2002.05283)."""

    perturbation: Perturbation | None = field(default_factory=RandomPerturbation)


@dataclass(frozen=True, kw_only=True)
class SmoothDartsAdversarial(Differentiable):
    """SDARTS-ADV: the weights are trained under the worst perturbation nearby (Chen and Hsieh, ICML 2020)."""

    perturbation: Perturbation | None = field(default_factory=AdversarialPerturbation)


PRESETS: dict[str, type[Differentiable]] = {
    "darts": Darts,
    "darts_2nd": DartsSecondOrder,
    "darts_minus": DartsMinus,
    "darts_plus": DartsPlus,
    "dr_nas": DrNas,
    "fair_darts": FairDarts,
    "gdas": Gdas,
    "p_darts": PDarts,
    "pc_darts": PcDarts,
    "proxyless": Proxyless,
    "robust_darts": RobustDarts,
    "smooth_darts": SmoothDarts,
    "smooth_darts_adv": SmoothDartsAdversarial,
    "snas": Snas,
}
"""The methods by the names that they have in ``ONESHOT``."""
