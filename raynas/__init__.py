"""raynas: neural architecture search as a plugin for Ray Tune."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from raynas.checkout import find_parts
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Constraint, Objective
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.nn import Choice, InputChoice, ModelSpace, Repeat

find_parts()

if TYPE_CHECKING:
    from raynas.core.result import SearchResult
    from raynas.drawing import draw
    from raynas.funnels import FunnelResult, FunnelStage, funnel
    from raynas.run.bulk_search import score_many
    from raynas.run.search import search
    from raynas.run.train_supernet import train_supernet

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
    "draw",
    "funnel",
    "score_many",
    "search",
    "train_supernet",
]

# Only the driver needs these; what they import (Optuna, HyperOpt, pandas, TensorBoard) would cost every actor seconds.
_OF_THE_DRIVER = {
    "FunnelResult": "raynas.funnels",
    "FunnelStage": "raynas.funnels",
    "SearchResult": "raynas.core.result",
    "draw": "raynas.drawing",
    "funnel": "raynas.funnels",
    "score_many": "raynas.run.bulk_search",
    "search": "raynas.run.search",
    "train_supernet": "raynas.run.train_supernet",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_DRIVER:
        raise AttributeError(f"module 'raynas' has no attribute {name!r}")
    return getattr(import_module(_OF_THE_DRIVER[name]), name)
