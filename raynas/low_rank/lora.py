"""LoRA by peft: the configuration of a pattern of ranks."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raynas.core.architecture import Option
from raynas.core.extended_space import network_part, network_space
from raynas.core.metric import Candidate, Metric
from raynas.errors import SpaceError
from raynas.low_rank.space import AdapterSpace
from raynas.nn.programs import require_packages

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(space: AdapterSpace, arch: Mapping[str, Option], **settings: Any) -> "LoraConfig":
    """Return the configuration with which ``peft.get_peft_model`` makes the adapters of a pattern of ranks.

    ``rank_pattern`` has the rank of each layer, ``alpha_pattern`` its multiple by the scale of the space, and
    ``target_modules`` names the layers that have an adapter.

    Args:
        space: the space of the pattern.
        arch: the pattern.
        settings: further settings of ``LoraConfig``, such as ``lora_dropout``.

    Raises:
        RaynasError: if peft is not installed.
        SpaceError: if ``arch`` is not a member, or has no adapter.
    """
    require_packages(["peft"], "peft")
    from peft import LoraConfig

    ranks = {path: rank for path, rank in space.pattern(arch).items() if rank}
    if not ranks:
        raise SpaceError("every rank of the pattern is 0: there is no adapter to configure")
    most = Counter(ranks.values()).most_common(1)[0][0]
    alpha: Any = space.scale * most  # only ever divided by the rank, so it need not be whole
    return LoraConfig(
        r=most,
        lora_alpha=alpha,
        target_modules="|".join(map(re.escape, ranks)),
        # Matched as regular expressions, at any depth: anchored, so that "head" is not "inner.head".
        rank_pattern={f"^{re.escape(path)}": rank for path, rank in ranks.items()},
        alpha_pattern={f"^{re.escape(path)}": space.scale * rank for path, rank in ranks.items()},
        **settings,
    )


def trained_params() -> Metric:
    """Return the number of parameters that are trained, such as those of adapters, as a metric of a search."""
    return Metric(name="trained_params", mode="min", measure=_n_trained)


def _n_trained(candidate: Candidate) -> float:
    space = network_space(candidate.space)
    if isinstance(space, AdapterSpace):  # a search asks for this of hundreds of patterns
        return space.n_trained(network_part(candidate.space, candidate.arch))
    return sum(parameter.numel() for parameter in candidate.model.parameters() if parameter.requires_grad)
