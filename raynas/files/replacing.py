"""Replacing: a file is written whole or not at all."""

import os
from pathlib import Path


class Replacing:
    """A context that gives a path to write to and then replaces ``path`` by that file, at once.

    A kill, a full disk or a power cut leaves the earlier file. A link in its place is replaced, not followed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        self._draft.unlink(missing_ok=True)
        return self._draft

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._draft.unlink(missing_ok=True)
            return
        with self._draft.open("rb") as file:
            os.fsync(file.fileno())
        self._draft.replace(self._path)


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    with Replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
