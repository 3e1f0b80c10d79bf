"""The checkpoints that trials of an earlier session left behind."""

import json
import shutil
from pathlib import Path


def last_checkpoint(directory: Path, max_epoch: int) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint of a trial that is not ahead of its record, and its epoch.

    Args:
        directory: the trial's.
        max_epoch: the last epoch that was recorded.
    """
    found = []
    for meta in directory.glob("checkpoint_*/meta.json"):
        try:
            epoch = int(json.loads(meta.read_text())["epoch"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
        if epoch <= max_epoch:
            found.append((meta.parent, epoch))
    return max(found, key=lambda item: item[1], default=None)


def set_aside(checkpoint: Path) -> Path:
    """Move a checkpoint to where Tune, which counts from zero again, does not overwrite it; delete the others."""
    target = checkpoint.parent / "checkpoint_resumed"
    for other in checkpoint.parent.glob("checkpoint_*"):
        if other != checkpoint:
            shutil.rmtree(other, ignore_errors=True)
    return checkpoint if checkpoint == target else checkpoint.rename(target)
