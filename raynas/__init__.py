"""raynas: neural architecture search as a plugin for Ray Tune."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from raynas.architecture import Architecture
from raynas.errors import RaynasError
from raynas.nn import Choice, InputChoice, ModelSpace, Repeat
from raynas.objective import Constraint, Evaluation, Objective
from raynas.space import SearchSpace

if TYPE_CHECKING:
    from raynas.api import search
    from raynas.bulk import score_many
    from raynas.result import SearchResult
    from raynas.staged import FunnelResult, FunnelStage, funnel
    from raynas.weight_sharing import train_supernet

__all__ = [
    "Architecture",
    "Choice",
    "Constraint",
    "Evaluation",
    "FunnelResult",
    "FunnelStage",
    "InputChoice",
    "ModelSpace",
    "Objective",
    "RaynasError",
    "Repeat",
    "SearchResult",
    "SearchSpace",
    "funnel",
    "score_many",
    "search",
    "train_supernet",
]

# Only the driver needs these; what they import (Optuna, HyperOpt, pandas, TensorBoard) would cost every actor seconds.
_OF_THE_DRIVER = {
    "FunnelResult": "raynas.staged",
    "FunnelStage": "raynas.staged",
    "SearchResult": "raynas.result",
    "funnel": "raynas.staged",
    "score_many": "raynas.bulk",
    "search": "raynas.api",
    "train_supernet": "raynas.weight_sharing",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_DRIVER:
        raise AttributeError(f"module 'raynas' has no attribute {name!r}")
    return getattr(import_module(_OF_THE_DRIVER[name]), name)
