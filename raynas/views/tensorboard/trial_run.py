"""The run of one trial in TensorBoard: its curves, its error, its line on the HParams page."""

import os
from pathlib import Path

from raynas.core.archive import Record
from raynas.views.tensorboard.event_file import EventFile, event_files, scalars, text
from raynas.views.tensorboard.hparams import SESSION_END, Columns, Config, session_end, session_start


class TrialRun:
    """The run of a trial that has not ended.

    Args:
        folder: of the run.
        config: of the trial.
        columns: of the HParams page.
        shown: whether an earlier session has written the run to its end, so that there is nothing to add.
        only_if_best: whether nothing is written unless the trial turns out to be the best so far.
    """

    def __init__(
        self, folder: Path, config: Config, columns: Columns, *, shown: bool = False, only_if_best: bool = False
    ) -> None:
        self.config = config
        self._file = EventFile(folder)
        self._only_if_best = only_if_best
        self._last: dict[str, int] = {}  # the step up to which each metric was shown
        self._shown = shown
        if not shown:
            for remnant in event_files(folder):
                remnant.unlink()
            self._file.add([session_start(columns.values(config))])

    def report(self, record: Record) -> None:
        """Show the metrics, but none twice: a trial that resumed from a checkpoint repeats some."""
        if self._shown:
            return
        step = record["fidelity"]
        new = {name: value for name, value in record["metrics"].items() if self._last.get(name, -1) < step}
        self._last.update(dict.fromkeys(new, step))
        if new:
            self._file.add(scalars({f"trial/{name}": value for name, value in new.items()}), step)

    def flush(self) -> None:
        """Write what is known so far."""
        if not self._only_if_best:
            self._file.flush()

    def end(self, record: Record, *, is_best: bool) -> None:
        """Write the file.

        Args:
            record: of the end.
            is_best: whether the trial is the best so far in an objective.
        """
        if self._shown or (self._only_if_best and not is_best):
            return
        self.report({**record, "metrics": {**record["metrics"], "fidelity": record["fidelity"]}})
        if record["error"]:
            self._file.add([text("error", record["error"])], record["fidelity"])
        self._file.add([session_end(failed=record["status"] == "failed")])
        self._file.flush()


def is_whole(folder: Path) -> bool:
    """Return whether a run has the end of its trial, which is the last value in its file."""
    for path in event_files(folder):
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 256, 0))
            if SESSION_END.encode() in file.read():
                return True
    return False
