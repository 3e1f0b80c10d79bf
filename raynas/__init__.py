"""raynas: neural architecture search as a plugin for Ray Tune."""

from raynas.api import search
from raynas.architecture import Architecture
from raynas.errors import RaynasError
from raynas.nn import Choice, InputChoice, ModelSpace, Repeat
from raynas.objective import Constraint, Evaluation, Objective
from raynas.result import SearchResult
from raynas.space import SearchSpace

__all__ = [
    "Architecture",
    "Choice",
    "Constraint",
    "Evaluation",
    "InputChoice",
    "ModelSpace",
    "Objective",
    "RaynasError",
    "Repeat",
    "SearchResult",
    "SearchSpace",
    "search",
]
