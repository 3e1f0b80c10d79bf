"""Folders of images: which are splits, which are classes, and which files are images.

A folder holds either one folder per class, or such folders in one folder per split. Images may be nested further in
their class, and links are followed. What is ambiguous is refused by name, never guessed.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from raynas.data.image_files import refuse
from raynas.data.stored import FolderImages, StoredSet
from raynas.errors import DataError, one_line

_USUAL = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_RARE = (
    ".apng",
    ".avif",
    ".dib",
    ".j2k",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpx",
    ".mpo",
    ".pbm",
    ".pfm",
    ".pgm",
    ".pnm",
    ".ppm",
)
IMAGE_SUFFIXES = frozenset((*_USUAL, *_RARE))
"""Suffixes of the files that are read, in lower case."""

_TEXTS = (".csv", ".htm", ".html", ".ipynb", ".json", ".jsonl", ".log", ".md", ".py", ".rst", ".tsv", ".txt", ".xml")
_NOTE_SUFFIXES = frozenset((*_TEXTS, ".yaml", ".yml", ".aae", ".db", ".ini", ".xmp"))
"""Suffixes of what may be beside images: notes, labels and files of systems, such as ``Thumbs.db``."""

_MAX_NAMED = 5
_CLUTTER = frozenset(
    ("$recycle.bin", "__macosx", "@eadir", "icon\r", "license", "lost+found", "readme", "system volume information")
)

SPLIT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of splits, in lower case; "set", "data", "images" or "split" may follow, as in ``training_set``."""

_HINTS = {**SPLIT_WORDS, "trn": "train", "tst": "test", "eval": "eval", "evaluation": "eval", "holdout": "holdout"}


def read_folder(path: Path) -> StoredSet:
    """List images in one folder per class, or in such folders below ``train``, ``valid`` (or ``val``) and ``test``.

    Raises:
        DataError: if the folder is missing, holds no classes, a class has no images, or anything is ambiguous.
    """
    try:
        splits = labelled_files(path)
        images = FolderImages.of(path, [file for split in splits.values() for file, _ in split])
    except OSError as error:
        raise DataError(f"folder:{path} cannot be read: {one_line(error)}") from None
    labels = {part: np.array([label for _, label in split], dtype=np.int64) for part, split in splits.items()}
    return StoredSet(images, labels)


def labelled_files(path: Path) -> dict[str, list[tuple[Path, int]]]:
    """Return the images of each split, with the index of their class.

    Raises:
        DataError: see ``read_folder``.
    """
    if not path.is_dir():
        raise DataError(f"folder:{path} is not a folder")
    root = _unpacked(path)
    walk = _Walk(root.resolve())
    walk.enter(root)
    splits = {part: _unpacked(folder) for part, folder in _splits(root).items()}
    for folder in splits.values():
        walk.enter(folder)
    names = _class_names(splits.get("train", root))
    found = {part: _labelled(folder, names, walk) for part, folder in (splits or {"train": root}).items()}
    refuse(walk.refused)
    return found


# --- splits and classes ----------------------------------------------------------------------------------------------


def _splits(root: Path) -> dict[str, Path]:
    """Return the folders of the splits; none if the folders are classes."""
    splits: dict[str, Path] = {}
    others = []
    for folder in _folders(root):
        part = split_named(folder.name)
        if part is None:
            others.append(folder)
        elif part in splits:
            raise DataError(f"folder:{root} has two {part} splits, {splits[part].name!r} and {folder.name!r}; keep one")
        else:
            splits[part] = folder
    if splits:
        _check_unmixed(root, splits, others)
    else:
        _check_no_hidden_splits(root, others)
    return splits


def split_named(name: str) -> str | None:
    """Return the split that a folder is named after; None if it is none."""
    words = re.split(r"[\W_]+", name.casefold())
    if len(words) == 2 and words[1] in ("set", "data", "images", "split"):
        words.pop()
    return SPLIT_WORDS.get(words[0]) if len(words) == 1 else None


def splits_in(name: str) -> set[str]:
    """Return the splits that are words of a name, such as "train" of ``imagenet-train-0001``."""
    return {SPLIT_WORDS[word] for word in re.split(r"[\W\d_]+", name.casefold()) if word in SPLIT_WORDS}


def _check_unmixed(root: Path, splits: Mapping[str, Path], others: Sequence[Path]) -> None:
    names = _quoted(splits.values())
    strangers = [folder for folder in others if _holds_images(folder)]
    if strangers:
        raise DataError(
            f"folder:{root} has {names}, named like a split, beside {_quoted(strangers)}: move what is no class (or no "
            "split) elsewhere, or rename a class that is named like a split"
        )
    if "train" not in splits:
        raise DataError(f"folder:{root} has {names}, but no train split beside it; add or rename it")


def _check_no_hidden_splits(root: Path, folders: Sequence[Path]) -> None:
    """Refuse names such as ``seg_train`` and ``seg_test``, and splits within classes."""
    words = {folder: set(re.split(r"[\W\d_]+", folder.name.casefold())) & _HINTS.keys() for folder in folders}
    hints = {_HINTS[word] for found in words.values() for word in found}
    if len(hints) > 1 or any(found and len(_folders(folder)) > 1 for folder, found in words.items()):
        named = _quoted(folder for folder in folders if words[folder])
        raise DataError(
            f"folder:{root} has {named}, named like splits: name splits train, valid and test, or rename a class"
        )
    for folder in folders:
        for inner in _folders(folder):
            if split_named(inner.name):
                raise DataError(
                    f"class folder {folder} has the split {inner.name!r} inside: put splits first, as in "
                    f"{inner.name}/{folder.name}"
                )


def _class_names(folder: Path) -> list[str]:
    names = sorted(_classes(folder))
    if len(names) < 2:
        inside = folder / names[0] if names else folder
        hint = f"; if the classes are in {names[0]!r}, give folder:{inside}" if len(_folders(inside)) > 1 else ""
        raise DataError(f"folder:{folder} needs one folder of images per class, at least 2; it has {len(names)}{hint}")
    return names


def _classes(folder: Path) -> dict[str, Path]:
    """Return the folders of the classes by their name, spelt the same way whichever system packed them."""
    classes: dict[str, Path] = {}
    for entry in _folders(folder):
        name = unicodedata.normalize("NFC", entry.name)
        if name in classes:
            raise DataError(f"folder:{folder} has two folders named {name!r} that differ in their bytes; merge them")
        classes[name] = entry
    return classes


def _labelled(folder: Path, names: Sequence[str], walk: "_Walk") -> list[tuple[Path, int]]:
    classes = _classes(folder)
    if unknown := sorted(classes.keys() - set(names)):
        raise DataError(f"folder:{folder} has class {unknown[0]!r}, which train lacks")
    found = []
    for label, name in enumerate(names):
        files = walk.images(classes[name]) if name in classes else []
        if not files and not walk.refused:
            raise DataError(f"folder:{folder / name} holds no images ({', '.join(_USUAL)})")
        found += [(file, label) for file in files]
    return found


# --- files -----------------------------------------------------------------------------------------------------------


@dataclass
class _Walk:
    """A walk through the folders of a data set that meets each folder and file once.

    Args:
        root: the folder of all.
        seen: folders and files by where they really are, without links.
        refused: why files cannot be used.
    """

    root: Path
    seen: dict[Path, Path] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def enter(self, folder: Path) -> Path:
        """Return where a folder really is.

        Raises:
            DataError: if it was entered before, or lies above the data.
        """
        real = folder.resolve()
        if real in self.seen or real in self.root.parents:
            raise DataError(f"folder {folder} is a link to {real}, whose images would be read twice; remove the link")
        self.seen[real] = folder
        return real

    def images(self, folder: Path) -> list[Path]:
        """Return the images in a folder and all below it, in order."""
        found, waiting = [], [folder]
        while waiting:
            inner = waiting.pop()
            real = self.enter(inner)
            for entry in _listed(inner):
                if entry.is_dir():
                    waiting.append(entry)
                elif reason := self._refusal(entry, real):
                    self.refused.append(f"{entry} {reason}")
                elif entry.suffix.casefold() in IMAGE_SUFFIXES:
                    found.append(entry)
        return sorted(found)

    def _refusal(self, file: Path, folder: Path) -> str:
        """Return why a file cannot be used; "" for an image and for a note beside images."""
        suffix = file.suffix.casefold()
        if suffix in _NOTE_SUFFIXES:
            return ""
        if not file.is_file():
            return "is a broken link or no file; remove it"
        if suffix not in IMAGE_SUFFIXES:
            return "is no image that can be read, by its suffix; convert or remove it"
        real = file.resolve() if file.is_symlink() else folder / file.name
        if real in self.seen:
            return f"is the same file as {self.seen[real]}; remove the link"
        self.seen[real] = file
        return ""


def _holds_images(folder: Path) -> bool:
    return any(Path(name).suffix.casefold() in IMAGE_SUFFIXES for *_, names in os.walk(folder) for name in names)


def _unpacked(path: Path) -> Path:
    """Return the folder within a folder of the same name that programs make when they unpack an archive."""
    while (inner := _folders(path)) and [entry.name.casefold() for entry in inner] == [path.name.casefold()]:
        if inner[0].is_symlink() or any(entry.suffix.casefold() in IMAGE_SUFFIXES for entry in _listed(path)):
            break
        path = inner[0]
    return path


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _listed(path) if entry.is_dir()]


def _listed(folder: Path) -> list[Path]:
    """Return the entries of a folder, without what systems and programs hide there."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"folder {folder} cannot be listed: {error.strerror}") from None
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.casefold() not in _CLUTTER]


def _quoted(folders: Iterable[Path]) -> str:
    names = [repr(folder.name) for folder in folders]
    return ", ".join([*names[:_MAX_NAMED], "…"] if len(names) > _MAX_NAMED else names)
