"""BucketStorage: Tune's storage of a trial, in the bucket of its search."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.train import Checkpoint
from ray.train._internal.storage import StorageContext

from raynas.storage.bucket import Bucket
from raynas.trials.checkpoint import MAX_STATE_BYTES, META, STATE


class BucketStorage(StorageContext):
    """Sends the checkpoints of a trial to a bucket, each file tried again where it fails.

    The files go one after another, and the one that makes a checkpoint complete is the last. Tune's own state of the
    experiment stays in the local folder: nothing is restored from it.
    """

    bucket: Bucket

    @classmethod
    def of(cls, storage: StorageContext, bucket: Bucket) -> "BucketStorage":
        """Return the storage of a search's trials, given that of its experiment and the search's folder in a bucket."""
        made = cls.__new__(cls)
        made.__dict__.update(storage.__dict__)
        made.bucket = bucket
        made.storage_filesystem = bucket.filesystem
        made.storage_fs_path, _, made.experiment_dir_name = bucket.path.rpartition("/")
        syncer: Any = type(storage.syncer)
        made.syncer = syncer(
            storage_filesystem=bucket.filesystem,
            sync_period=storage.sync_config.sync_period,
            sync_timeout=storage.sync_config.sync_timeout,
        )
        return made

    def persist_current_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Copy a checkpoint of this machine to the bucket; return where it is.

        Raises:
            StorageError: if it cannot be written.
        """
        source = Path(checkpoint.path)
        folder = self.bucket.entry(f"{self.trial_dir_name}/{Path(self.checkpoint_fs_path).name}")
        files = sorted((f for f in source.rglob("*") if f.is_file()), key=lambda file: (file.name == META, file))
        for file in files:
            folder.upload(file, file.relative_to(source).as_posix())
        return type(checkpoint)(path=folder.path, filesystem=folder.filesystem)


@contextmanager
def fetched(checkpoint: Bucket) -> Iterator[Path]:
    """Give a checkpoint of raynas's that is in a bucket as a folder of this machine.

    Raises:
        ContentError: if a file of it is too large.
        StorageError: if it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="raynas-checkpoint-") as temporary:
        folder, found = Path(temporary), checkpoint.files()
        for name in (STATE, META):
            if name in found:
                checkpoint.download(name, folder / name, MAX_STATE_BYTES)
        yield folder


def bucket_of(storage: Any) -> Bucket | None:
    """Return the bucket that a trial's storage is in; None if it is in a folder that nodes see."""
    return storage.bucket if isinstance(storage, BucketStorage) else None
