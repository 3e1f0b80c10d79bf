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
    """

    def __init__(self, folder: Path, config: Config, columns: Columns, *, shown: bool) -> None:
        self.config = config
        self.file = EventFile(folder)
        self._last: dict[str, int] = {}  # the step up to which each metric was shown
        self._shown = shown
        if not shown:
            for remnant in event_files(folder):
                remnant.unlink()
            self.file.add([session_start(columns.values(config))])

    def report(self, record: Record) -> None:
        """Show the metrics, but none twice: a trial that resumed from a checkpoint repeats some."""
        if self._shown:
            return
        step = record["fidelity"]
        new = {name: value for name, value in record["metrics"].items() if self._last.get(name, -1) < step}
        self._last.update(dict.fromkeys(new, step))
        if new:
            self.file.add(scalars({f"trial/{name}": value for name, value in new.items()}), step)

    def end(self, record: Record) -> None:
        """Write the file."""
        if self._shown:
            return
        self.report({**record, "metrics": {**record["metrics"], "fidelity": record["fidelity"]}})
        if record["error"]:
            self.file.add([text("error", record["error"])], record["fidelity"])
        self.file.add([session_end(failed=record["status"] == "failed")])
        self.file.flush()


def is_whole(folder: Path) -> bool:
    """Return whether a run has the end of its trial, which is the last value in its file."""
    for path in event_files(folder):
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 256, 0))
            if SESSION_END.encode() in file.read():
                return True
    return False
