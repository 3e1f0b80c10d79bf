"""A funnel: cheap scores for many architectures, more training for fewer, in one declared search."""

from raynas.staged.correlation import RankCorrelation, rank_correlation
from raynas.staged.result import FunnelResult, StageResult
from raynas.staged.run import funnel
from raynas.staged.stage import FunnelStage, check_stages

__all__ = [
    "FunnelResult",
    "FunnelStage",
    "RankCorrelation",
    "StageResult",
    "check_stages",
    "funnel",
    "rank_correlation",
]
