"""An export from the command line, from the architecture file to verified files."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from raynas.cli.answers import ExportAnswer
from raynas.cli.options import ExportFlags
from raynas.cli.retrain_command import retrain_command
from raynas.cli.retrain_request import RetrainRequest
from raynas.cli.terminal import say, shown
from raynas.data.preprocessing import preprocessing_of
from raynas.errors import RaynasError
from raynas.exporting import Provenance, export
from raynas.files.weights import WEIGHTS, read_weights
from raynas.run.architecture_file import read_architecture
from raynas.run.report_again import read_metrics
from raynas.trials.weights import with_weights


def run_export(request: RetrainRequest, console: Console) -> ExportAnswer:
    """Export an architecture with its weights, and print the files.

    Raises:
        RaynasError: if a file cannot be used, or an exported file disagrees with the network.
    """
    command, flags = retrain_command(request), request.own
    assert isinstance(flags, ExportFlags)
    space, data = command.fitted()
    arch = read_architecture(command.file, space)
    weights = Path(flags.weights).expanduser() if flags.weights else command.file.parent / WEIGHTS
    model = with_weights(space, arch, _read(weights))
    metrics, measured = _measured(command.file.parent)
    about = Provenance(
        arch=arch,
        metrics=metrics,
        measured=measured.format(data=data),
        preprocessing=preprocessing_of(dataclasses.replace(command.training, data=data).load_source()),
        seed=command.training.seed,
        command=f"raynas export {shlex.quote(str(command.file))}",
    )
    done = export(
        model,
        space.example(2),
        command.output or command.file.parent / "export",
        about=about,
        formats=flags.formats,  # type: ignore[arg-type]  # checked there
        overwrite=flags.overwrite,
        verify=flags.verify,
    )
    for name, reason in done.missing.items():
        console.print(f"no {name}: {reason}", highlight=False, markup=False)
    checked = "; checked without raynas" if flags.verify else ""
    say(f"{', '.join(done.files)} in {shown(done.directory)}{checked}", console)
    return ExportAnswer(
        directory=str(done.directory), files=list(done.files), missing=dict(done.missing), verified=flags.verify
    )


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise RaynasError(f"there are no weights {path}: train the architecture, or name a file by --weights")
    return read_weights(path)


def _measured(folder: Path) -> tuple[dict[str, float], str]:
    """Return the metrics of a training to the end, and how they were measured."""
    metrics = read_metrics(folder)
    how = "test_accuracy and test_loss were measured once, on the test split of {data}, after the training."
    return metrics, how if metrics else ""
