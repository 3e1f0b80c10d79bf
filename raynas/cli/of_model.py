"""Parts of the commands on a trained model: ``raynas compress``, ``raynas blocks`` and ``raynas mine``."""

import re
from collections.abc import Sequence
from pathlib import Path

from raynas.cli.flags import given, last_value
from raynas.errors import RaynasError


def with_model(argv: Sequence[str]) -> Sequence[str]:
    """Return a command line with its first word, if that is no flag, as the model."""
    return [f"--model={argv[0]}", *argv[1:]] if argv and not argv[0].startswith("-") else argv


def require_model_and_data(tokens: Sequence[str], usage: str, learners: str) -> None:
    """Check that a command names both.

    Args:
        tokens: the command line, expanded.
        usage: how the command is written.
        learners: those that learn from the data.

    Raises:
        RaynasError: if one is missing.
    """
    if last_value(tokens, "model.name") is None:
        raise RaynasError(f"give the model first: {usage}; see --help")
    if "trainable.data" not in given(tokens):
        raise RaynasError(f"--data is missing: name the data that {learners}; labels are not needed")


def folder_of(results: str, name: str | None, model: str, data: str, kind: str) -> Path:
    """Return the folder of the findings; where it has no name, one of the model, the data and the kind of findings."""
    parts = (model, Path(re.sub(r"^(npz|folder):", "", data)).stem, kind)
    return Path(results).expanduser().resolve() / (
        name or "-".join(re.sub(r"\W+", "_", part).strip("_") for part in parts)
    )
