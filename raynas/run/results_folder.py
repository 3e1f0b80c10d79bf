"""The folder of a search: its path and its archive."""

import re
import shutil
from pathlib import Path

from ray import tune

from raynas.core.archive import Archive
from raynas.errors import ArchiveError
from raynas.files.inside import refuse_links
from raynas.run.file_names import ARCHIVE
from raynas.run.run_config import checked_run_config

MIN_FREE_BYTES = 100 * 2**20
"""Less free space than this in a results folder is refused before anything is computed."""


def results_path(run_config: tune.RunConfig | None, default_name: str) -> Path:
    """Return the folder that a run config names.

    Raises:
        ArchiveError: if it is not in a file system.
        SettingError: if a setting of the run config cannot be carried out.
    """
    given = checked_run_config(run_config)
    storage = str(given.storage_path)
    if re.match(r"\w+://", storage):
        raise ArchiveError(
            f"the archive needs a folder that every node can see, got {storage!r}: give a path on a shared file system"
        )
    return Path(storage).expanduser().resolve() / (given.name or default_name)


def open_archive(path: Path, wait_seconds: float = 0.0) -> Archive:
    """Open the archive in a folder, or begin one.

    Args:
        path: the folder.
        wait_seconds: time to wait for another process that holds it.

    Raises:
        ArchiveError: if it cannot be written, or the disk is almost full.
        BusyError: if another process holds it for longer.
        OutsideError: if a link in the folder leads out of it.
    """
    archive = Archive(path / ARCHIVE, wait_seconds)
    try:
        refuse_links(path)
        free = shutil.disk_usage(path).free
        if free < MIN_FREE_BYTES:
            left = f"{free / 2**20:.0f} MiB left on its disk"
            raise ArchiveError(f"{path} has {left}; free some or choose another folder")
    except BaseException:
        archive.close()
        raise
    return archive
