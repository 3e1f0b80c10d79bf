"""A training to the end from the command line, from the architecture file to the test."""

import dataclasses

from rich.console import Console
from rich.text import Text

from raynas.cli.answers import RetrainAnswer
from raynas.cli.retrain_command import retrain_command
from raynas.cli.retrain_request import RetrainRequest
from raynas.cli.terminal import say, shown
from raynas.cli.winner import train
from raynas.run.architecture_file import read_architecture
from raynas.run.cluster import start_ray
from raynas.run.retraining import folder_for
from raynas.views.amounts import amount, epochs


def run_retraining(request: RetrainRequest, console: Console) -> RetrainAnswer:
    """Train an architecture to the end, test it, and print the metrics.

    Raises:
        RaynasError: if the file, the data or the space cannot be used, or the training fails.
    """
    command = retrain_command(request)
    space, data = command.fitted()
    arch = read_architecture(command.file, space)
    training = dataclasses.replace(command.training, data=data)
    folder = command.output or folder_for(command.file.parent, arch, space, training)
    settings = f", settings from {shown(command.settings)}" if command.settings else ""
    say(f"Training {arch.key} on {data} for {epochs(training.epochs)}{settings}", console)
    if training.workers > 1:  # else Ray starts by itself, with its dashboard and its log on this terminal
        start_ray()
    metrics = train(space, arch, training, folder, console)
    for name in ("test_accuracy", "test_loss", "params", "macs", "latency_ms", "train_seconds"):
        if name in metrics:
            console.print(Text.assemble((f"{name:<14}", "cyan"), amount(name, metrics[name])))
    say(f"Weights in {shown(folder / 'weights.safetensors')}", console)
    return RetrainAnswer(
        key=arch.key,
        data=data,
        epochs=training.epochs,
        metrics={name: float(value) for name, value in metrics.items() if isinstance(value, int | float)},
        weights=str(folder / "weights.safetensors"),
    )
