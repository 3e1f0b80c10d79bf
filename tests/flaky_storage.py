"""A storage that delays and fails at random, before and in the middle of what it does."""

import io
import random
import time
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow.fs import FileSelector, FileSystemHandler, LocalFileSystem, PyFileSystem


class _FlakyFile(io.RawIOBase):
    """A file, each block of which may fail after a part of it was written."""

    def __init__(self, path: str, mode: str, handler: "FlakyHandler") -> None:
        self._file, self._handler = open(path, mode), handler  # noqa: SIM115

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return self._file.writable()

    def read(self, size: int = -1) -> bytes:
        self._handler.trouble("read")
        return self._file.read(size)  # type: ignore[no-any-return]

    def write(self, data: Any) -> int:
        content = bytes(data)
        try:
            self._handler.trouble("write")
        except OSError:
            self._file.write(content[: len(content) // 2])
            raise
        return self._file.write(content)

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, *where: int) -> int:
        return self._file.seek(*where)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


class FlakyHandler(FileSystemHandler):  # type: ignore[misc]
    """A folder as a storage; its numbers are drawn from a seed, and differ from process to process.

    Args:
        folder: the folder.
        failures: share of the operations that fail.
        delay: largest time that one takes, in seconds.
        seed: of the generator.
    """

    def __init__(self, folder: str, failures: float, delay: float, seed: int = 0) -> None:
        self.settings = (folder, failures, delay, seed)
        self.n_failures = 0
        self._rng = random.Random(seed)
        self._local = LocalFileSystem()

    def __reduce__(self) -> Any:
        folder, failures, delay, seed = self.settings
        return FlakyHandler, (folder, failures, delay, seed + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlakyHandler) and other.settings[0] == self.settings[0]

    def __hash__(self) -> int:
        return hash(self.settings[0])

    def trouble(self, what: str) -> None:
        """Wait a little, and fail now and then."""
        _, failures, delay, _ = self.settings
        time.sleep(self._rng.uniform(0, delay))
        if self._rng.random() < failures:
            self.n_failures += 1
            raise OSError(f"the storage failed to {what}, as it does at random")

    def _at(self, path: str) -> str:
        return f"{self.settings[0]}/{path.strip('/')}".rstrip("/")

    def _shown(self, info: Any) -> Any:
        path = str(Path(info.path).relative_to(self.settings[0]))
        return pyarrow.fs.FileInfo(path, info.type, mtime=info.mtime, size=info.size)

    def get_type_name(self) -> str:
        return "flaky"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[Any]:
        self.trouble("look")
        return [self._shown(info) for info in self._local.get_file_info([self._at(path) for path in paths])]

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        self.trouble("list")
        chosen = FileSelector(self._at(selector.base_dir), selector.allow_not_found, selector.recursive)
        return [self._shown(info) for info in self._local.get_file_info(chosen)]

    def create_dir(self, path: str, recursive: bool) -> None:
        self.trouble("make a folder")
        self._local.create_dir(self._at(path), recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self.trouble("delete")
        self._local.delete_dir(self._at(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self.trouble("delete")
        self._local.delete_file(self._at(path))

    def move(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_input_stream(self, path: str) -> Any:
        self.trouble("open")
        return pyarrow.PythonFile(_FlakyFile(self._at(path), "rb", self), mode="r")

    def open_input_file(self, path: str) -> Any:
        return self.open_input_stream(path)

    def open_output_stream(self, path: str, metadata: Any = None) -> Any:
        self.trouble("open")
        return pyarrow.PythonFile(_FlakyFile(self._at(path), "wb", self), mode="w")

    def open_append_stream(self, path: str, metadata: Any = None) -> Any:
        raise NotImplementedError


def flaky(folder: Path, *, failures: float = 0.0, delay: float = 0.0, seed: int = 0) -> Any:
    """Return a folder as a file system that is not this machine's, which delays and fails at random."""
    return PyFileSystem(FlakyHandler(str(folder), failures, delay, seed))
