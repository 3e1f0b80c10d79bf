"""TrialNetworks: the networks of a search with weights: as trials left them, or trained to their end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from raynas.core.evaluation import Evaluation
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.files.inside import inside
from raynas.run.checkpoint_retention import N_BEST
from raynas.run.file_names import BEST
from raynas.run.last_checkpoint import last_checkpoint
from raynas.run.retraining import final_training, folder_for
from raynas.trials import TrialSettings, retrain
from raynas.trials.checkpoint import Checkpoint


@dataclass(frozen=True)
class TrialNetworks:
    """Reads the checkpoints in the folder of a search; see ``SearchResult`` for its methods.

    Args:
        space: the space of the search.
        settings: the way of scoring.
        path: the folder.
    """

    space: SearchSpace
    settings: TrialSettings
    path: Path

    def state(self, evaluation: Evaluation) -> Mapping[str, Any] | None:
        """Return the state in the last checkpoint of a trial; None if it has no checkpoint with a state.

        Raises:
            RaynasError: if the checkpoint cannot be read.
        """
        found = last_checkpoint(inside(self.path, evaluation.trial), evaluation.fidelity)
        return Checkpoint.read(found[0]).state if found else None

    def model(self, evaluation: Evaluation) -> nn.Module:
        """Return the network of a trial with its weights, in eval mode.

        Raises:
            RaynasError: if there are none.
        """
        try:
            return self.settings.trained_model(self.space, evaluation.arch, self.state(evaluation))
        except RaynasError as error:
            folder = self.path / evaluation.trial
            found = any(folder.glob("checkpoint_*"))
            hint = f"its checkpoints are in {folder}" if found else f"the {N_BEST} best trials keep their checkpoints"
            raise RaynasError(f"no weights of trial {evaluation.trial}: {error} ({hint})") from None

    def retrain(self, evaluation: Evaluation, epochs: int | None, directory: Path | None) -> Mapping[str, float]:
        """Train the network of a trial from scratch to the end, and test it.

        Raises:
            RaynasError: if there are no settings to train with, or the training fails.
        """
        training = final_training(self.settings, evaluation, epochs)
        folder = directory or folder_for(self.path / BEST, evaluation.arch, self.space, training)
        return retrain(self.space, evaluation.arch, training, folder)
