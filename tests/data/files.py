"""Small files of images, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raynas.data.images import ImageData, ImageSplit

Arrays = dict[str, NDArray[Any]]


def some_images(n: int = 40, n_classes: int = 4, size: int = 6, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8),
        "y_train": np.arange(n) % n_classes,
    }


def save(path: Path, arrays: Arrays) -> str:
    np.savez(path / "data.npz", **arrays)  # type: ignore[arg-type]
    return f"npz:{path / 'data.npz'}"


def changed(**arrays: Any) -> Arrays:
    return {**some_images(), **{name: np.asarray(value) for name, value in arrays.items()}}


def splits_of(data: ImageData) -> list[ImageSplit]:
    assert data.test is not None
    return [data.train, data.valid, data.test]


def photos(root: Path, n: int = 24, size: tuple[int, int] = (11, 9)) -> Path:
    """Write a folder of noise, of three classes."""
    rng = np.random.default_rng(0)
    for i in range(n):
        folder = root / "photos" / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return root / "photos"
