"""find_bucket(): the storage that a path or a URI names, and the folder of its working copy on this machine."""

import hashlib
import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raynas.errors import SettingError, one_line
from raynas.storage.bucket import Bucket

LOCAL = "~/ray_results"
"""Tune's folder for results, which has the working copies of buckets."""


def is_uri(path: str) -> bool:
    """Return whether a path is a URI such as ``s3://bucket/path``, and no folder of this machine."""
    return re.match(r"[A-Za-z][\w+.-]+://", path) is not None


def find_bucket(storage_path: str, filesystem: Any = None) -> Bucket | Path:
    """Return the folder that a storage path names, or the path of a folder of this machine.

    Args:
        storage_path: a path, a URI that pyarrow knows (s3, gs, abfs, hdfs, file), or a path on ``filesystem``.
        filesystem: of pyarrow's; None for what the path says.

    Raises:
        SettingError: if there is no such file system, or ``filesystem`` is none.
    """
    from pyarrow.fs import FileSystem, LocalFileSystem

    if filesystem is None and not is_uri(storage_path):
        return Path(storage_path).expanduser().resolve()
    if filesystem is None:
        shown = _without_secrets(storage_path)
        try:
            filesystem, path = FileSystem.from_uri(storage_path)
        except Exception as error:  # also one of the kind that pyarrow was built without
            raise SettingError(
                f"storage_path {shown} cannot be used: {one_line(error)}; pyarrow must know it, or give its file "
                "system as storage_filesystem"
            ) from None
    elif not isinstance(filesystem, FileSystem):
        raise SettingError(f"storage_filesystem must be a pyarrow.fs.FileSystem, got {type(filesystem).__name__}")
    else:
        path = posixpath.normpath(storage_path)
        shown = f"{filesystem.type_name.replace('::', '-')}:{path}"
    if isinstance(filesystem, LocalFileSystem):
        return Path(path).resolve()
    return Bucket(filesystem, path.rstrip("/"), shown.rstrip("/"))


def _without_secrets(uri: str) -> str:
    """Return a URI without the credentials and the options that it may hold."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def local_folder(storage_path: str) -> Path:
    """Return the folder of this machine that the searches of a storage path are written to first.

    Raises:
        SettingError: if there is no such file system.
    """
    found = find_bucket(storage_path)
    return found if isinstance(found, Path) else working_copy(found, storage_path)


def working_copy(bucket: Bucket, storage_path: str) -> Path:
    """Return the folder of this machine that the searches of a bucket are written to first.

    Args:
        bucket: the storage.
        storage_path: what it was made of; options in a URI, such as an endpoint, make it another.
    """
    options = urlsplit(storage_path).query if is_uri(storage_path) else ""
    name = re.sub(r"\W+", "-", bucket.shown).strip("-")
    folder = Path(LOCAL).expanduser().resolve()
    return folder / (f"{name}-{hashlib.sha256(options.encode()).hexdigest()[:6]}" if options else name)
