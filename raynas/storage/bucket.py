"""Bucket: a folder of a file system of pyarrow's that is not this machine's."""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raynas.errors import ContentError, OutsideError
from raynas.files.replacing import Replacing
from raynas.storage.retrying import retry

BLOCK_BYTES = 8 * 2**20
"""Bytes that are copied at a time."""


@dataclass(frozen=True)
class Bucket:
    """Files by name in a folder, each operation tried again where it fails.

    Args:
        filesystem: of pyarrow's.
        path: of the folder on it.
        shown: the folder for messages, without credentials.
        patience: seconds for which an operation is tried; None for the usual time.
    """

    filesystem: Any
    path: str
    shown: str
    patience: float | None = None

    def __str__(self) -> str:
        return self.shown

    def entry(self, name: str) -> "Bucket":
        """Return a folder in this one.

        Raises:
            OutsideError: if it would not lie inside, or be this one.
        """
        self._at(name)
        return replace(self, path=f"{self.path}/{name}", shown=f"{self.shown}/{name}")

    def _at(self, name: str) -> str:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise OutsideError(f"{name!r} does not lie inside {self}: the folder is damaged, or was made to harm")
        return posixpath.join(self.path, name)

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the content of a file.

        Raises:
            ContentError: if it is larger than ``max_bytes``.
            FileNotFoundError: if there is none.
            StorageError: if it cannot be read.
        """
        path = self._at(name)

        def get() -> bytes:
            with self.filesystem.open_input_stream(path) as stream:
                content: bytes = stream.read(max_bytes + 1)
            if len(content) > max_bytes:
                raise ContentError(f"{self}/{name} has more than {max_bytes} bytes")
            return content

        content: bytes = self._retry(get, f"read {self}/{name}")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in place of an earlier one.

        Raises:
            StorageError: if it cannot be written.
        """

        def put() -> None:
            with self._open(name) as stream:
                stream.write(content)

        self._retry(put, f"write {self}/{name}")

    def upload(self, file: Path, name: str) -> None:
        """Copy a file of this machine.

        Raises:
            FileNotFoundError: if it is gone.
            StorageError: if it cannot be written.
        """

        def put() -> None:
            with file.open("rb") as source, self._open(name) as stream:
                while block := source.read(BLOCK_BYTES):
                    stream.write(block)

        self._retry(put, f"write {self}/{name}")

    def download(self, name: str, file: Path, max_bytes: int) -> None:
        """Copy a file to this machine, whole or not at all.

        Raises:
            ContentError: if it is larger than ``max_bytes``.
            FileNotFoundError: if there is none.
            StorageError: if it cannot be read.
        """
        path = self._at(name)

        def get() -> None:
            n = 0
            with (
                Replacing(file) as draft,
                draft.open("wb") as target,
                self.filesystem.open_input_stream(path) as stream,
            ):
                while block := stream.read(BLOCK_BYTES):
                    n += target.write(block)
                    if n > max_bytes:
                        raise ContentError(f"{self}/{name} has more than {max_bytes} bytes")

        self._retry(get, f"read {self}/{name}")

    def files(self) -> dict[str, int]:
        """Return the sizes of the files in the folder, by name; none if there is no folder.

        Raises:
            StorageError: if they cannot be listed.
        """
        return {info.base_name: info.size for info in self._infos() if info.is_file}

    def folders(self) -> list[str]:
        """Return the names of the folders in this one.

        Raises:
            StorageError: if they cannot be listed.
        """
        return sorted(info.base_name.rstrip("/") for info in self._infos() if not info.is_file)

    def _infos(self) -> Any:
        from pyarrow.fs import FileSelector

        chosen = FileSelector(self.path, allow_not_found=True)
        return self._retry(lambda: self.filesystem.get_file_info(chosen), f"list {self}")

    def delete(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            StorageError: if it cannot be deleted.
        """
        path = self._at(name)
        with suppress(FileNotFoundError):
            self._retry(lambda: self.filesystem.delete_file(path), f"delete {self}/{name}")

    def delete_folder(self, name: str) -> None:
        """Delete a folder with all that it holds, if it is there.

        Raises:
            StorageError: if it cannot be deleted.
        """
        path = self._at(name)
        with suppress(FileNotFoundError):
            self._retry(lambda: self.filesystem.delete_dir(path), f"delete {self}/{name}")

    def _retry(self, action: Any, what: str) -> Any:
        return retry(action, what, self.patience)

    @contextmanager
    def _open(self, name: str) -> Iterator[Any]:
        """Open a file for writing; its folder is made where the file system has real ones."""
        path = self._at(name)
        try:
            stream = self.filesystem.open_output_stream(path)
        except FileNotFoundError:
            self.filesystem.create_dir(posixpath.dirname(path), recursive=True)
            stream = self.filesystem.open_output_stream(path)
        with stream:
            yield stream
