"""A funnel: cheap scores for many architectures, more training for fewer, in one declared search."""

from raynas.analysis import RankCorrelation, rank_correlation
from raynas.funnels.result import FunnelResult, StageResult
from raynas.funnels.run import funnel
from raynas.funnels.stage import FunnelStage, check_stages

__all__ = [
    "FunnelResult",
    "FunnelStage",
    "RankCorrelation",
    "StageResult",
    "check_stages",
    "funnel",
    "rank_correlation",
]
