"""ArchitectureTrainable: the class that Tune makes an actor of."""

import logging
from pathlib import Path
from typing import Any

import ray
from ray import tune

from raynas.errors import one_line
from raynas.trials.bucket_storage import bucket_of, fetched
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.progress import Result
from raynas.trials.runner import TrialRunner
from raynas.trials.sick_process import SickProcessError, end_process_soon, refuse_sick
from raynas.trials.team import Shared
from raynas.trials.trial import Trial

logger = logging.getLogger(__name__)


class ArchitectureTrainable(tune.Trainable):
    """Scores the architecture in the config of each Tune trial; actors can be reused.

    Made by ``settings.trainable(space)``. A trial begins with its first step, so that its time counts from there: Tune
    does not say of an actor whether it still waits for its node or is at work already.
    """

    _config: dict[str, Any] | None = None
    """Config of the trial that has not begun yet."""

    def setup(
        self,
        config: dict[str, Any],
        runner: TrialRunner[Trial[Any]] | Shared | None = None,
    ) -> None:
        """Begin the first trial of an actor.

        Args:
            config: of the trial.
            runner: runs the trials; a reference to it where other processes of a trial read it too.
        """
        if isinstance(runner, list):
            shared, runner = runner, ray.get(runner[0])
            runner.team.shared = shared
        if runner is None:
            raise TypeError("ArchitectureTrainable is made by settings.trainable(space), not used as it is")
        self._runner = runner
        runner.keeps_team = True
        storage = None if bucket_of(self._storage) else self._storage
        runner.directory = storage.trial_fs_path if storage else None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same actor; never refuse, which would make Tune lose the trial."""
        self._runner.release()
        self._runner.directory = self._storage.trial_fs_path if self._storage else None
        self._config = new_config
        self._written_traceback = ""
        return True

    def _begin(self) -> TrialRunner[Trial[Any]]:
        """Begin the trial if it has not begun yet; return the runner."""
        config, self._config = self._config, None
        if config is not None:
            self._begin_with(config)
        return self._runner

    def _begin_with(self, config: dict[str, Any]) -> None:
        """Begin with a checkpoint of this machine, or one in a bucket, which may be ahead of the archive there."""
        bucket = bucket_of(self._storage)
        if bucket is None or CHECKPOINT_KEY not in config:
            self._runner.begin(config)
            return
        with fetched(bucket.entry(config[CHECKPOINT_KEY])) as folder:
            self._runner.begin({**config, CHECKPOINT_KEY: str(folder)})
        self._runner.report_again()

    def step(self) -> Result:
        """Do one epoch; return the result after it.

        Raises:
            SickProcessError: if this process can compute nothing more; Tune then tries the trial again in another.
        """
        try:
            result = self._begin().step()
            self._note_failure()
            refuse_sick(result)
        except SickProcessError:
            end_process_soon()
            raise
        return result

    def _note_failure(self) -> None:
        text = self._runner.progress.traceback
        if text and text != self._written_traceback:
            self._written_traceback = text
            self._write_traceback(text)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint."""
        self._begin().save(checkpoint_dir)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue from a checkpoint."""
        self._begin().load(checkpoint)

    def cleanup(self) -> None:
        """Drop the network, and end the other processes of the trial."""
        self._runner.keeps_team = False
        self._runner.release()

    def _write_traceback(self, text: str) -> None:
        """Write error.txt into the trial's folder in the storage: the working folder stays on its node."""
        try:
            storage = self._storage
            if storage is None:
                Path(self.logdir, "error.txt").write_text(text)
                return
            storage.storage_filesystem.create_dir(storage.trial_fs_path)
            with storage.storage_filesystem.open_output_stream(f"{storage.trial_fs_path}/error.txt") as file:
                file.write(text.encode())
        except Exception as error:
            logger.warning("error.txt could not be written: %s", one_line(error))
