"""A space that fits the data, and a found architecture trained to its end."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from raynas.cli.spaces import SpaceMaker
from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fit_space
from raynas.errors import RaynasError
from raynas.trials import Training, TrialSettings, retrain
from raynas.views.progress import LINE_SECONDS


def fitted(make_space: SpaceMaker, trainable: TrialSettings, given: frozenset[str]) -> tuple[SearchSpace, str]:
    """Return the space for the data, and the name of the data.

    Args:
        make_space: makes the space.
        trainable: knows the data.
        given: the options that the user gave.

    Raises:
        RaynasError: if data and space do not fit together.
    """
    if not isinstance(trainable, Training):
        return make_space(), str(getattr(trainable, "fn", ""))
    source = trainable.load_source()
    asked = make_space(source)
    space = fit_space(asked, source)
    for name in ("input_shape", "n_classes"):
        wanted, held = getattr(asked, name, None), getattr(space, name, None)
        if f"space.{name}" in given and wanted != held:
            raise RaynasError(f"--space.{name} is {wanted}, but data {source.name} has {held}: leave it out")
    return space, source.name


def train(
    space: SearchSpace, arch: Architecture, training: Training, folder: Path, console: Console
) -> Mapping[str, float]:
    """Train to the end and test, with a progress bar on a terminal, else a line now and then.

    Raises:
        RaynasError: as ``raynas.trials.retrain`` does.
    """
    if not console.is_terminal:
        return retrain(space, arch, training, folder, on_epoch=_Lines(console, training.epochs))
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "epochs", TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"training {arch.key}", total=training.epochs)
        return retrain(
            space, arch, training, folder, on_epoch=lambda r: progress.update(task, completed=r["training_iteration"])
        )


class _Lines:
    """Prints the progress of a training, at most every ``LINE_SECONDS``."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console, self._epochs, self._due = console, epochs, time.monotonic() + LINE_SECONDS

    def __call__(self, result: Mapping[str, object]) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            told = f"epoch {result['training_iteration']} of {self._epochs}, training loss {result['train_loss']:.4g}"
            self._console.print(told, highlight=False)
