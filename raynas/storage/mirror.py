"""Mirror: the files of a search besides its archive and checkpoints, such as the report, copied to its bucket."""

from fnmatch import fnmatch
from pathlib import Path

from raynas.errors import OutsideError
from raynas.storage.bucket import Bucket

TUNES = ("*.pkl", "experiment_state-*.json", "search_gen_state*.json")
"""Files of Tune's, which nothing is restored from; pickles of unknown origin are not left there."""

SLOW_FOLDERS = ("tensorboard",)
"""Folders whose files grow all the time: uploaded at the end of a search only."""


class Mirror:
    """Uploads the files of a folder that have changed since the last time.

    Args:
        bucket: the folder of the search there.
        path: its folder on this machine.
        archive: name of the archive, which goes there in segments; also that of searches in folders of this one.
    """

    def __init__(self, bucket: Bucket, path: Path, archive: str) -> None:
        self._bucket, self._path, self._archive = bucket, path, archive
        self._states: dict[str, tuple[int, int]] = {}

    def upload(self, *, all_files: bool) -> None:
        """Upload what has changed; what is deleted meanwhile, or a link, is passed over.

        Args:
            all_files: whether those that grow all the time are uploaded too.

        Raises:
            StorageError: if a file cannot be written.
        """
        for file in sorted(self._path.rglob("*")):
            name = file.relative_to(self._path).as_posix()
            if self._is_left_out(name) or (not all_files and name.split("/")[0] in SLOW_FOLDERS):
                continue
            try:
                if file.is_symlink() or not file.is_file():
                    continue
                state = (file.stat().st_mtime_ns, file.stat().st_size)
                if self._states.get(name) != state:
                    self._bucket.upload(file, name)
                    self._states[name] = state
            except (FileNotFoundError, OutsideError):  # replaced meanwhile, or of a name that no bucket has
                continue

    def _is_left_out(self, name: str) -> bool:
        *_, last = parts = name.split("/")
        is_hidden = any(part.startswith(".") for part in parts)
        return is_hidden or last == self._archive or any(fnmatch(last, pattern) for pattern in TUNES)
