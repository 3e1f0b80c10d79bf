"""Flags of a funnel: whether there is one, and which other flags it permits."""

import re
from collections.abc import Mapping, Sequence

from raynas.cli.flags import given, last_value
from raynas.errors import RaynasError

USUAL_IN_FUNNEL = {"strategy": "random", "early_stopping": "none"}
"""The default choices in a funnel, where they are not those of a search in one stage."""

NOT_IN_FUNNEL = ("num_samples", "hyperparameters")
"""Options whose place the stages of a funnel take."""

COUNT = re.compile(r"^\s*(\S+)\s+(\d+)(?=\s|$)")
"""The first two words of a stage: the trainable and the number of architectures."""


def asks_for_funnel(tokens: Sequence[str]) -> bool:
    """Return whether there is a stage."""
    found = last_value(tokens, "funnel")
    return found not in (None, "", "[]") and not str(found).startswith("--")


def chosen_for_funnel(tokens: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the names that count in a funnel, with the default choices there.

    Args:
        tokens: flags in canonical spelling.
        names: the choices of a search in one stage.

    Raises:
        RaynasError: if an option is given that a funnel has no use for.
    """
    if names["trainable"] == "subnet":
        raise RaynasError("--funnel takes no --trainable subnet: write a stage, 'subnet NUMBER supernet=FOLDER'")
    for option in NOT_IN_FUNNEL:
        if any(key.partition(".")[0] == option for key in given(tokens)):
            raise RaynasError(f"--{option} is not for a funnel, whose stages say what is scored: leave it out")
    usual = {option: name for option, name in USUAL_IN_FUNNEL.items() if f"{option}.name" not in given(tokens)}
    return {option: name for option, name in {**names, **usual}.items() if option != "method"}


def without_numbers(texts: Sequence[str]) -> list[str]:
    """Return the stages without their numbers: more of the same extend a funnel."""
    return [COUNT.sub(r"\1", text) for text in texts]
