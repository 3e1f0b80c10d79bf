"""The training of a found architecture to its end: its settings and its folder."""

import dataclasses
import hashlib
from pathlib import Path

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.trials import Subnet, Training, TrialSettings

EPOCHS = 30
"""Number of epochs where nothing is said: that of weights that were inherited."""


def final_training(settings: TrialSettings, winner: Evaluation, epochs: int | None = None) -> Training:
    """Return the settings of the winner's training: those of the search at full fidelity, and its hyperparameters.

    Args:
        settings: the way of scoring.
        winner: the evaluation to train.
        epochs: number of epochs; None for that of the search, and for ``EPOCHS`` where weights were inherited.

    Raises:
        RaynasError: if the search did not train by settings of raynas's.
    """
    if isinstance(settings, Subnet):
        training = settings.data_settings()
        if not isinstance(training, Training):
            raise RaynasError("subnets of a distilled supernet recover by Distillation, not by training from scratch")
        training = dataclasses.replace(training, epochs=epochs or EPOCHS)
    elif isinstance(settings, Training):
        training = Training(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(Training)})
    else:
        raise RaynasError(
            f"{type(settings).__name__} does not say how to train to the end: call raynas.trials.retrain(space, arch, "
            "Training(data=...), directory), or your own function with the network that space.build(arch) gives"
        )
    training = training.at_full_fidelity.with_hyperparameters(winner.hyperparameters)
    return dataclasses.replace(training, epochs=epochs or training.epochs)


def folder_for(parent: Path, arch: Architecture, space: SearchSpace, training: Training) -> Path:
    """Return the folder of a training to the end: another one for another architecture, size or training."""
    about = hashlib.sha256(f"{space.fingerprint} {training.description}".encode()).hexdigest()[:6]
    return parent / f"retrained-{arch.key}-{training.epochs}epochs-{about}"
