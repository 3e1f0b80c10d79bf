"""A training to the end as ``raynas retrain`` was asked for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from raynas.cli.retrain_request import RetrainRequest, read_retrain
from raynas.cli.tables import SPACES
from raynas.core.space import SearchSpace
from raynas.trials import Training


@dataclass(frozen=True, kw_only=True)
class RetrainCommand:
    """A training of one architecture to the end.

    Args:
        file: the architecture file.
        space: makes the space; takes the fields that follow from the data.
        training: settings of the training.
        output: folder of the trained network.
        given: the options that the user or the settings beside the file gave, by path.
        settings: the file of settings beside the architecture, if it was used.
    """

    file: Path
    space: Callable[..., SearchSpace]
    training: Training
    output: Path | None
    given: frozenset[str]
    settings: Path | None


def parse_retrain(argv: Sequence[str]) -> RetrainCommand:
    """Read the command line, and make what it asks for; see ``read_retrain`` and ``retrain_command``."""
    return retrain_command(read_retrain(argv))


def retrain_command(request: RetrainRequest) -> RetrainCommand:
    """Make the space and the training that a request names.

    Raises:
        ValueError: if a value is out of range.
    """
    fields_of = request.options.fields_of
    return RetrainCommand(
        file=request.file,
        space=partial(SPACES[request.space], **fields_of("space", request.space)),
        training=Training(**fields_of("trainable", "train")),
        output=request.output,
        given=request.given,
        settings=request.settings,
    )
