"""StreamedImages: images of a data set that are decoded when they are needed, for data larger than memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from raynas.data.decoded_cache import DecodedCache
from raynas.data.image_arrays import resized
from raynas.data.image_depth import BYTES, DEEP_COLOUR
from raynas.data.image_files import check_use_of_bits, common_depth, read_bytes
from raynas.data.splitting import some_of
from raynas.data.stored import StoredImages
from raynas.errors import DataError, one_line

N_SAMPLED = 2048
"""Number of images whose depth is that of all."""

N_PROBED = 64
"""Number of images that are looked up in the cache to see if an epoch has any to decode."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedImages:
    """Images that are decoded when they are needed, uint8; the pixels are those that reading all at once gives.

    Args:
        stored: the encoded images of the data set.
        indices: those among them that this split holds, in its order.
        size: height and width that images are read at, in pixels; see ``read_images``.
        bits: depth of all images.
        cache_dir: folder on each node for decoded images; None to decode them in each epoch.
        n_workers: number of processes that decode; 0 decodes in this one.
        resolution: height and width that they are then resized to; None keeps them.
    """

    stored: StoredImages
    indices: NDArray[np.int64]
    size: int
    bits: str
    cache_dir: Path | None
    n_workers: int
    resolution: int | None = None

    dtype = np.dtype(np.uint8)

    @classmethod
    def of(cls, stored: StoredImages, size: int, cache_dir: Path | None, n_workers: int) -> "StreamedImages":
        """Return all images; the depth is that of a sample of them.

        Raises:
            DataError: if an image of the sample cannot be read, or their depth needs all of them in memory.
        """
        sample = some_of(len(stored), N_SAMPLED)
        files = [stored[index] for index in sample.tolist()]
        bits = common_depth(files)
        if bits not in (BYTES, DEEP_COLOUR):
            raise DataError(
                f"images such as {files[0]} have {bits} of grey, which are scaled by the highest value of all, so they "
                "cannot be streamed: convert them to 8 bits, or raise stream_above_gb to hold them in memory"
            )
        indices = np.arange(len(stored))
        images = cls(stored=stored, indices=indices, size=size, bits=bits, cache_dir=cache_dir, n_workers=n_workers)
        if bits == DEEP_COLOUR:
            peak = max(int(images.read(sample[i : i + 1]).max()) for i in range(min(len(sample), N_PROBED)))
            check_use_of_bits(peak, bits, files[0])
        return images

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, height, width, 3)``."""
        side = self.resolution or self.size
        return len(self.indices), side, side, 3

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, chosen: NDArray[np.int64]) -> "StreamedImages":
        """Return some of the images, by their index in this split."""
        return replace(self, indices=self.indices[chosen])

    def joined(self, other: "StreamedImages") -> "StreamedImages":
        """Return these images and others of the same data set."""
        return replace(self, indices=np.concatenate([self.indices, other.indices]))

    def resized(self, resolution: int) -> "StreamedImages":
        """Return the images resized to ``resolution`` pixels on each side."""
        return replace(self, resolution=resolution)

    def read(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read some of the images, by their index in this split, from the cache if they are there.

        Raises:
            DataError: if a file cannot be read, or has another depth than the others.
        """
        indices, cache = self.indices[chosen], self._cache
        images = np.empty((len(indices), *self.shape[1:]), np.uint8)
        missing = np.ones(len(indices), bool) if cache is None else ~cache.read(indices, images)
        if missing.any():
            files = [self.stored[index] for index in indices[missing].tolist()]
            decoded = read_bytes(files, self.size, self.bits)
            images[missing] = resized(decoded, self.resolution) if self.resolution else decoded
            if cache is not None:
                cache.write(indices[missing], images[missing])
        return images

    def batches(self, chosen: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield batches, ``(batch, height, width, 3)``; workers decode them ahead of time, in this order.

        Args:
            chosen: the images of each batch, by their index in this split.

        Raises:
            DataError: if a file cannot be read, or a worker ends.
        """
        if not chosen or not self.n_workers or self._is_decoded(np.concatenate(chosen)):
            return (torch.from_numpy(self.read(indices)) for indices in chosen)
        return self._from_workers(chosen)

    def _from_workers(self, chosen: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        loader: Any = DataLoader(
            _Batches(self, chosen),
            batch_size=None,
            num_workers=min(self.n_workers, len(chosen)),
            generator=torch.Generator(),  # torch's own must stay as it is without workers
        )
        try:
            for batch in loader:
                if isinstance(batch, str):
                    raise DataError(batch)
                yield batch
        except RuntimeError as error:
            raise DataError(f"a process that decodes images ended ({one_line(error)}); lower data_workers") from error

    def _is_decoded(self, chosen: NDArray[np.int64]) -> bool:
        """Return True if images are in the cache, by a sample of them."""
        return self._cache is not None and self._cache.holds(self.indices[chosen[some_of(len(chosen), N_PROBED)]])

    @property
    def _cache(self) -> DecodedCache | None:
        if self.cache_dir is None:
            return None
        scaled = f"_{self.resolution}" if self.resolution else ""
        path = self.cache_dir / f"{self.stored.fingerprint[:32]}_{self.size}{scaled}.images"
        return DecodedCache(path=path, n_images=len(self.stored), shape=self.shape[1:])


class _Batches(Dataset[Any]):
    """Batches for a DataLoader; the message of an error is in the place of a batch, to be raised as one line."""

    def __init__(self, images: StreamedImages, chosen: Sequence[NDArray[np.int64]]) -> None:
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, step: int) -> NDArray[np.uint8] | str:
        try:
            return self._images.read(self._chosen[step])
        except DataError as error:
            return str(error)
