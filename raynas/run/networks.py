"""TrialNetworks: the networks of a search with weights: as trials left them, or trained to their end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from typing_extensions import Unpack

from raynas.core.evaluation import Evaluation
from raynas.core.networks import ExportOptions
from raynas.core.space import SearchSpace
from raynas.data.preprocessing import preprocessing_of
from raynas.errors import RaynasError
from raynas.exporting import Exported, Provenance, export
from raynas.run.checkpoint_retention import N_BEST
from raynas.run.checkpoints import Checkpoints, LocalCheckpoints
from raynas.run.file_names import BEST
from raynas.run.retraining import final_training, folder_for
from raynas.trials import TrialSettings, retrain
from raynas.trials.data_settings import DataSettings
from raynas.trials.settings import ArchitectureSettings
from raynas.views.amounts import epochs


@dataclass(frozen=True)
class TrialNetworks:
    """Reads the checkpoints in the folder of a search; see ``SearchResult`` for its methods.

    Args:
        space: the space of the search.
        settings: the way of scoring.
        path: the folder.
        checkpoints: those of the trials; by default in the folder.
    """

    space: SearchSpace
    settings: TrialSettings
    path: Path
    checkpoints: Checkpoints | None = None

    @property
    def _checkpoints(self) -> Checkpoints:
        return self.checkpoints or LocalCheckpoints(self.path)

    def state(self, evaluation: Evaluation) -> Mapping[str, Any] | None:
        """Return the state in the last checkpoint of a trial; None if it has no checkpoint with a state.

        Raises:
            RaynasError: if the checkpoint cannot be read.
        """
        found = self._checkpoints.read(evaluation.trial, evaluation.fidelity)
        return found.state if found else None

    def model(self, evaluation: Evaluation) -> nn.Module:
        """Return the network of a trial with its weights, in eval mode.

        Raises:
            RaynasError: if there are none.
        """
        try:
            return self.settings.trained_model(self.space, evaluation.arch, self.state(evaluation))
        except RaynasError as error:
            found = self._checkpoints.any_of(evaluation.trial)
            folder = f"{self._checkpoints.place}/{evaluation.trial}"
            hint = f"its checkpoints are in {folder}" if found else f"the {N_BEST} best trials keep their checkpoints"
            raise RaynasError(f"no weights of trial {evaluation.trial}: {error} ({hint})") from None

    def export(self, evaluation: Evaluation, directory: Path, **options: Unpack[ExportOptions]) -> Exported:
        """Write the network of a trial with its weights to files that run without raynas.

        Raises:
            RaynasError: if there are no weights, the folder is not free, or a file disagrees with the network.
        """
        model, settings, space = self.model(evaluation), self.settings, self.space.architecture_space
        source, seed = None, None
        if isinstance(settings, DataSettings):
            source = settings.source_of_trials()
        if isinstance(settings, ArchitectureSettings):
            space, seed = settings.trained_space(self.space), settings.seed
        data = f", accuracy and loss on the validation split of {source.name}" if source else ""
        about = Provenance(
            arch=self.space.architecture(evaluation.arch),
            metrics=evaluation.metrics,
            measured=f"Measured by trial {evaluation.trial} after {epochs(evaluation.fidelity)}{data}.",
            preprocessing=preprocessing_of(source) if source else None,
            seed=seed,
        )
        return export(model, space.example(2), directory, about=about, **options)

    def retrain(self, evaluation: Evaluation, epochs: int | None, directory: Path | None) -> Mapping[str, float]:
        """Train the network of a trial from scratch to the end, and test it.

        Raises:
            RaynasError: if there are no settings to train with, or the training fails.
        """
        training = final_training(self.settings, evaluation, epochs)
        folder = directory or folder_for(self.path / BEST, evaluation.arch, self.space, training)
        return retrain(self.space, evaluation.arch, training, folder)
