"""Differentiable architecture search: one family, whose pieces combine freely; the published methods are presets."""

from raynas.oneshot.differentiable.costs import ExpectedCost
from raynas.oneshot.differentiable.learner import DifferentiableLearner
from raynas.oneshot.differentiable.method import Differentiable
from raynas.oneshot.differentiable.perturbation import AdversarialPerturbation, Perturbation, RandomPerturbation
from raynas.oneshot.differentiable.presets import (
    PRESETS,
    Darts,
    DartsMinus,
    DartsPlus,
    DartsSecondOrder,
    DrNas,
    FairDarts,
    Gdas,
    PcDarts,
    PDarts,
    Proxyless,
    RobustDarts,
    SmoothDarts,
    SmoothDartsAdversarial,
    Snas,
)
from raynas.oneshot.differentiable.regularisers import DirichletAnchor, Entropy, Regulariser, ZeroOne
from raynas.oneshot.differentiable.reinforce import Reinforce
from raynas.oneshot.differentiable.relaxation import (
    BinaryGates,
    Concrete,
    Dirichlet,
    GumbelArgmax,
    Relaxation,
    Sigmoid,
    Softmax,
)
from raynas.oneshot.differentiable.stages import Stage
from raynas.oneshot.differentiable.stopping import EigenvalueJump, SkipCount, StableOrder, StopRule
from raynas.oneshot.differentiable.watch import Watch

__all__ = [
    "PRESETS",
    "AdversarialPerturbation",
    "BinaryGates",
    "Concrete",
    "Darts",
    "DartsMinus",
    "DartsPlus",
    "DartsSecondOrder",
    "Differentiable",
    "DifferentiableLearner",
    "Dirichlet",
    "DirichletAnchor",
    "DrNas",
    "EigenvalueJump",
    "Entropy",
    "ExpectedCost",
    "FairDarts",
    "Gdas",
    "GumbelArgmax",
    "PDarts",
    "PcDarts",
    "Perturbation",
    "Proxyless",
    "RandomPerturbation",
    "Regulariser",
    "Reinforce",
    "Relaxation",
    "RobustDarts",
    "Sigmoid",
    "SkipCount",
    "SmoothDarts",
    "SmoothDartsAdversarial",
    "Snas",
    "Softmax",
    "StableOrder",
    "Stage",
    "StopRule",
    "Watch",
    "ZeroOne",
]
