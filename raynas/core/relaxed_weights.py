"""RelaxedWeights: the weights that a differentiable search gives to the options of each decision."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from raynas.core.architecture import JsonOptions

RELAXED = "_relaxed"
"""Key of a text in a Tune result: the weights, as JSON."""


class RelaxedWeights(Struct, frozen=True, kw_only=True):
    """Weights of options after an epoch.

    Args:
        epoch: number of epochs that are done.
        weights: by decision, those of its options by name, in [0, 1]; "no operation" is one of them where it competes.
        derived: the options of the architecture that would be derived now.
    """

    epoch: int
    weights: dict[str, dict[str, float]]
    derived: JsonOptions = {}

    def as_entry(self) -> dict[str, str]:
        """Return the weights as an entry of a Tune result, whose values are numbers and texts."""
        return {RELAXED: msgspec.json.encode(self).decode()}

    def as_field(self) -> dict[str, Any]:
        """Return the weights as a field of a record."""
        return {"relaxed": msgspec.to_builtins(self)}


_DECODER: "msgspec.json.Decoder[RelaxedWeights]" = msgspec.json.Decoder(RelaxedWeights)


def relaxed_field(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights in a Tune result as a field of a record; nothing if there are none, or something else."""
    try:
        return _DECODER.decode(result[RELAXED]).as_field() if RELAXED in result else {}
    except (msgspec.MsgspecError, TypeError):
        return {}
