"""The checkpoints that trials of an earlier session left behind."""

import re
from pathlib import Path

from raynas.errors import ContentError
from raynas.files.inside import delete, inside
from raynas.trials.checkpoint import whole_epoch


def trial_folder(path: Path, trial: str) -> Path:
    """Return the folder of a trial; "random/00012" is that of a search inside the folder of another.

    Raises:
        OutsideError: if it does not lie inside ``path``.
    """
    for part in trial.split("/"):
        path = inside(path, part)
    return path


def last_checkpoint(directory: Path, max_epoch: int) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint of a trial that is not ahead of its record, and its epoch.

    Args:
        directory: the trial's; links in it are passed over.
        max_epoch: the last epoch that was recorded.
    """
    found = []
    for folder in directory.glob("checkpoint_*"):
        try:
            epoch = whole_epoch(folder)
        except (OSError, ContentError):
            continue
        if epoch <= max_epoch and not folder.is_symlink():
            found.append((folder, epoch))
    return max(found, key=lambda item: item[1], default=None)


def set_aside(checkpoint: Path) -> Path:
    """Move a checkpoint to where Tune, which counts from zero again, does not overwrite it; delete the others."""
    target = checkpoint.parent / "checkpoint_resumed"
    for other in checkpoint.parent.glob("checkpoint_*"):
        if other != checkpoint:
            delete(other)
    return checkpoint if checkpoint == target else checkpoint.rename(target)


def number_of(checkpoint: str) -> int:
    """Return the number in the name of a checkpoint's folder; -1 if it has none."""
    found = re.fullmatch(r"checkpoint_(\d{1,9})", checkpoint.rstrip("/").rpartition("/")[2])
    return int(found.group(1)) if found else -1
