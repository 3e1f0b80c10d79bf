"""The folder of a search: its path and its archive."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray import tune

from raynas.core.archive import Archive
from raynas.errors import ArchiveError, StorageError
from raynas.files.inside import refuse_links
from raynas.run.checkpoints import BucketCheckpoints, Checkpoints, LocalCheckpoints
from raynas.run.file_names import ARCHIVE
from raynas.run.run_config import checked_run_config
from raynas.storage.bucket import Bucket
from raynas.storage.location import find_bucket, working_copy
from raynas.storage.mirror import Mirror
from raynas.storage.replica import Replica

logger = logging.getLogger(__name__)

MIN_FREE_BYTES = 100 * 2**20
"""Less free space than this in a results folder is refused before anything is computed."""


@dataclass(frozen=True)
class Place:
    """The place of a search.

    Args:
        path: its folder on this machine.
        bucket: its folder in a storage beyond this machine, of which the other is a working copy; None for none.
    """

    path: Path
    bucket: Bucket | None = None


def results_place(run_config: tune.RunConfig | None, default_name: str) -> Place:
    """Return the place that a run config names.

    The working copy of a bucket is a folder in ``~/ray_results``.

    Raises:
        SettingError: if a setting of the run config cannot be carried out, or there is no such storage.
    """
    given = checked_run_config(run_config)
    storage, name = str(given.storage_path), given.name or default_name
    found = find_bucket(storage, given.storage_filesystem)
    if isinstance(found, Path):
        return Place(found / name)
    return Place(working_copy(found, storage) / name, found.entry(name))


def checkpoints_at(place: Place) -> Checkpoints:
    """Return the checkpoints of a search, to be read."""
    return BucketCheckpoints(place.bucket, lambda name, action: None) if place.bucket else LocalCheckpoints(place.path)


def upload_files(place: Place) -> None:
    """Copy what was written to the folder of a search after its end to its bucket, if it has one.

    That it cannot be written costs a warning.
    """
    if place.bucket:
        try:
            Mirror(place.bucket, place.path, ARCHIVE).upload(all_files=True)
        except StorageError as error:
            logger.warning("%s; the report is in %s", error, place.path)


def earlier_records(place: Place) -> Archive:
    """Return the archive of a search so far, without holding it; an empty one if there is none.

    Raises:
        ArchiveError: if it is damaged.
        StorageError: if the bucket cannot be read or written.
    """
    if place.bucket:
        with opened(place):  # which completes the one on this machine
            pass
    file = place.path / ARCHIVE
    return Archive.load(file) if file.exists() else Archive()


def results_path(run_config: tune.RunConfig | None, default_name: str) -> Path:
    """Return the folder of this machine that a run config names; see ``results_place``."""
    return results_place(run_config, default_name).path


@contextmanager
def opened(place: Place) -> Iterator[tuple[Archive, Checkpoints]]:
    """Open the archive of a search, or begin one, and give the checkpoints of its trials.

    Raises:
        ArchiveError: if it cannot be written or read, or the disk is almost full.
        BusyError: if another driver runs the search.
        OutsideError: if a link in the folder leads out of it.
        StorageError: if the bucket cannot be read or written.
    """
    if place.bucket is None:
        with closing(open_archive(place.path)) as archive:
            yield archive, LocalCheckpoints(place.path)
        return
    replica = Replica(place.bucket, place.path, ARCHIVE)
    replica.begin()
    try:
        with closing(open_archive(place.path)) as archive:
            replica.start(archive)
            yield archive, BucketCheckpoints(place.bucket, replica.later)
    finally:
        replica.finish()


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
