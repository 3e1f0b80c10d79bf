"""Low rank: ranks of layers, and of adapters beside them, as the decisions of a search space."""

from raynas.low_rank.factors import Factors
from raynas.low_rank.lora import lora_config, trained_params
from raynas.low_rank.space import AdapterSpace, LowRankSpace, RankSpace, adapter_space, low_rank_space

__all__ = [
    "AdapterSpace",
    "Factors",
    "LowRankSpace",
    "RankSpace",
    "adapter_space",
    "lora_config",
    "low_rank_space",
    "trained_params",
]
