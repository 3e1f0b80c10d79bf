"""Paths inside a results folder: whatever names them, and wherever links lead, nothing outside is touched."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from raynas.errors import OutsideError


def inside(folder: Path, name: str) -> Path:
    """Return the path of an entry of a folder.

    Args:
        folder: the folder.
        name: of the entry, as a file gave it.

    Raises:
        OutsideError: if the path would be the folder itself or, links followed, not below it.
    """
    plain = name not in ("", ".", "..") and not any(part in name for part in ("/", "\\", "\0", ":"))
    if not plain or not _leads_below(folder / name, folder):
        raise OutsideError(
            f"{name!r} does not lie inside {folder}, where everything of this search must be: "
            "the folder is damaged, or was made to harm; choose another"
        )
    return folder / name


def refuse_links(folder: Path) -> None:
    """Check that no link in a folder, however deep, leads out of it: what is written there stays there.

    The folder itself may be a link: the user named it.

    Raises:
        OutsideError: if one does.
    """
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.is_symlink() and not _leads_below(Path(entry.path), folder):
                raise OutsideError(
                    f"{entry.path} is a link to {os.readlink(entry.path)}, outside of the results folder, where "
                    "nothing may be written or deleted: remove the link, or choose another folder"
                )
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # deleted since it was listed
        return []
    except OSError as error:
        raise OutsideError(f"cannot look for links in {folder}: {error.strerror}; choose another folder") from None


def _leads_below(path: Path, folder: Path) -> bool:
    try:
        with suppress(FileNotFoundError):
            path.stat()  # raises for links in a circle, for which resolve() raises up to Python 3.12 only
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False


def delete(path: Path) -> None:
    """Delete a folder, or a link in its place but never its target; what cannot be deleted stays."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
