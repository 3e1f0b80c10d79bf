"""A training to the end as ``raynas retrain`` was asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.retrain_request import RetrainRequest, read_retrain
from raynas.cli.spaces import SpaceMaker, space_maker
from raynas.cli.winner import fitted
from raynas.core.space import SearchSpace
from raynas.run.identity import check_fingerprint
from raynas.trials import Training


@dataclass(frozen=True, kw_only=True)
class RetrainCommand:
    """A training of one architecture to the end.

    Args:
        file: the architecture file.
        space: makes the space for the data.
        training: settings of the training.
        output: folder of the trained network.
        given: the options that the user or the settings beside the file gave, by path.
        settings: the file of settings beside the architecture, if it was used.
        fingerprint: that of the space in the search, if it was one of the user's.
    """

    file: Path
    space: SpaceMaker
    training: Training
    output: Path | None
    given: frozenset[str]
    settings: Path | None
    fingerprint: str | None = None

    def fitted(self) -> tuple[SearchSpace, str]:
        """Return the space for the data, and the name of the data.

        Raises:
            RaynasError: if they do not fit together, or the space is not as it was in the search.
        """
        space, data = fitted(self.space, self.training, self.given)
        if self.fingerprint is not None:
            check_fingerprint(space, self.fingerprint)
        return space, data


def parse_retrain(argv: Sequence[str]) -> RetrainCommand:
    """Read the command line, and make what it asks for; see ``read_retrain`` and ``retrain_command``."""
    return retrain_command(read_retrain(argv))


def retrain_command(request: RetrainRequest) -> RetrainCommand:
    """Make the space and the training that a request names.

    Raises:
        ValueError: if a value is out of range.
    """
    return RetrainCommand(
        file=request.file,
        space=space_maker(request.options, request.space, request.given),
        training=Training(**request.options.fields_of("trainable", "train")),
        output=request.output,
        given=request.given,
        settings=request.settings,
        fingerprint=request.own.fingerprint,
    )
