"""Methods that train shared weights: one file per method or family of methods."""

from raynas.oneshot.base import Batch, Learner, OneShot, Setup
from raynas.oneshot.differentiable import PRESETS, Differentiable
from raynas.oneshot.enas import Enas
from raynas.oneshot.extremes import largest, smallest
from raynas.oneshot.fair import Fair
from raynas.oneshot.progressive_shrinking import ProgressiveShrinking
from raynas.oneshot.sandwich import Sandwich
from raynas.oneshot.single_path import SinglePath

__all__ = [
    "ONESHOT",
    "Batch",
    "Differentiable",
    "Enas",
    "Fair",
    "Learner",
    "OneShot",
    "ProgressiveShrinking",
    "Sandwich",
    "Setup",
    "SinglePath",
    "largest",
    "smallest",
]

_METHODS: dict[str, type[OneShot]] = {
    "enas": Enas,
    "fair": Fair,
    "progressive_shrinking": ProgressiveShrinking,
    "sandwich": Sandwich,
    "single_path": SinglePath,
    **PRESETS,
}

ONESHOT: dict[str, type[OneShot]] = dict(sorted(_METHODS.items()))
"""The catalogue, the only list of its names; every method can be made without arguments."""
