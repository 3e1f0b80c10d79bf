"""raynas: neural architecture search as a plugin for Ray Tune."""

from importlib import import_module
from typing import TYPE_CHECKING

from raynas.checkout import find_parts

find_parts()

__version__ = "0.1.0"

if TYPE_CHECKING:
    from raynas.compressing.assembling import block_library
    from raynas.compressing.compress import compress
    from raynas.compressing.effort import Effort
    from raynas.compressing.mining import mine
    from raynas.compressing.result import Compressed
    from raynas.converting import convert
    from raynas.core.architecture import Architecture
    from raynas.core.constraint import Constraint
    from raynas.core.evaluation import Evaluation
    from raynas.core.goal import Objective
    from raynas.core.inputs import Arguments, TensorSpec
    from raynas.core.metric import Candidate, Metric
    from raynas.core.result import SearchResult
    from raynas.core.space import SearchSpace
    from raynas.drawing import draw
    from raynas.errors import RaynasError
    from raynas.exporting import export
    from raynas.funnels import FunnelResult, FunnelStage, funnel
    from raynas.low_rank import adapter_space, low_rank_space
    from raynas.metrics.energy import energy
    from raynas.metrics.latency import latency
    from raynas.metrics.latency_predictor import DeviceLatencies, LatencyPredictor
    from raynas.metrics.latency_table.profile import profile_latency
    from raynas.nn import Choice, InputChoice, ModelSpace, Repeat
    from raynas.run.proposal import Proposal
    from raynas.run.repeats import Repeats
    from raynas.run.score_many import score_many
    from raynas.run.search import search
    from raynas.run.study import Study
    from raynas.run.train_supernet import train_supernet

__all__ = [
    "Architecture",
    "Arguments",
    "Candidate",
    "Choice",
    "Compressed",
    "Constraint",
    "DeviceLatencies",
    "Effort",
    "Evaluation",
    "FunnelResult",
    "FunnelStage",
    "InputChoice",
    "LatencyPredictor",
    "Metric",
    "ModelSpace",
    "Objective",
    "Proposal",
    "RaynasError",
    "Repeat",
    "Repeats",
    "SearchResult",
    "SearchSpace",
    "Study",
    "TensorSpec",
    "adapter_space",
    "block_library",
    "compress",
    "convert",
    "draw",
    "energy",
    "export",
    "funnel",
    "latency",
    "low_rank_space",
    "mine",
    "profile_latency",
    "score_many",
    "search",
    "track",
    "train_supernet",
]

# Imported at first use: torch, Ray Tune, pandas and TensorBoard together take seconds, which neither ``--help`` nor an
# actor that needs only some of them should pay.
_MODULES = {
    "Architecture": "raynas.core.architecture",
    "Arguments": "raynas.core.inputs",
    "Candidate": "raynas.core.metric",
    "Choice": "raynas.nn",
    "Compressed": "raynas.compressing.result",
    "Constraint": "raynas.core.constraint",
    "DeviceLatencies": "raynas.metrics.latency_predictor",
    "Effort": "raynas.compressing.effort",
    "Evaluation": "raynas.core.evaluation",
    "FunnelResult": "raynas.funnels",
    "FunnelStage": "raynas.funnels",
    "InputChoice": "raynas.nn",
    "LatencyPredictor": "raynas.metrics.latency_predictor",
    "Metric": "raynas.core.metric",
    "ModelSpace": "raynas.nn",
    "Objective": "raynas.core.goal",
    "Proposal": "raynas.run.proposal",
    "RaynasError": "raynas.errors",
    "Repeat": "raynas.nn",
    "Repeats": "raynas.run.repeats",
    "SearchResult": "raynas.core.result",
    "SearchSpace": "raynas.core.space",
    "Study": "raynas.run.study",
    "TensorSpec": "raynas.core.inputs",
    "adapter_space": "raynas.low_rank",
    "block_library": "raynas.compressing.assembling",
    "compress": "raynas.compressing.compress",
    "convert": "raynas.converting",
    "draw": "raynas.drawing",
    "energy": "raynas.metrics.energy",
    "export": "raynas.exporting",
    "funnel": "raynas.funnels",
    "latency": "raynas.metrics.latency",
    "low_rank_space": "raynas.low_rank",
    "mine": "raynas.compressing.mining",
    "profile_latency": "raynas.metrics.latency_table.profile",
    "score_many": "raynas.run.score_many",
    "search": "raynas.run.search",
    "track": "raynas.run.track",
    "train_supernet": "raynas.run.train_supernet",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'raynas' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
