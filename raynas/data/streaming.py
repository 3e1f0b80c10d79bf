"""Streaming: decides if encoded images are decoded into memory, or when they are needed."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raynas.data.image_files import read_images
from raynas.data.images import ImageSplit
from raynas.data.stored import StoredSet
from raynas.data.streamed_images import StreamedImages

MEMORY_SHARE = 1 / 8
"""Share of the free memory that decoded images may take by default: splitting them takes up to four times as much."""

_UNKNOWN_MEMORY = 8 * 2**30
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """Settings of the reading of encoded images.

    Args:
        above_gb: size of the decoded images, in GB (10^9 bytes), above which they are decoded when they are needed;
            None for an eighth of the free memory.
        n_workers: number of processes that decode them then.
        cache_dir: folder on each node for decoded images; None to decode them in each epoch.
    """

    above_gb: float | None = None
    n_workers: int = 2
    cache_dir: Path | None = None

    def splits(self, stored: StoredSet, size: int) -> dict[str, ImageSplit]:
        """Read images, resized to ``size`` pixels on each side; see ``read_images``.

        Raises:
            DataError: if images cannot be read; of those that are streamed, a sample is.
        """
        most = free_memory() * MEMORY_SHARE if self.above_gb is None else self.above_gb * 1e9
        n = len(stored.images)
        if n * size * size * 3 > most:
            images = StreamedImages.of(stored.images, size, self.cache_dir, self.n_workers)
            every = ImageSplit(images, np.concatenate(list(stored.labels.values())))
            ends = np.cumsum([len(labels) for labels in stored.labels.values()])
            parts = np.split(np.arange(n), ends[:-1])
            return {part: every.take(chosen) for part, chosen in zip(stored.labels, parts, strict=True)}
        arrays = read_images([stored.images[index] for index in range(n)], size)
        splits, start = {}, 0
        for part, labels in stored.labels.items():
            splits[part] = ImageSplit(arrays[start : start + len(labels)], labels)
            start += len(labels)
        return splits


def free_memory() -> float:
    """Return the bytes of memory that this process may still use; a guess where the system does not say."""
    return min(_of_machine(), _of_group(), _of_process())


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    except (AttributeError, OSError, ValueError):  # Windows
        return _UNKNOWN_MEMORY


def _of_group() -> float:
    """Return what is left to a container with a limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return float((_CGROUP / limit).read_text()) - float((_CGROUP / used).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return math.inf


def _of_process() -> float:
    """Return what is left to a process with a limit, as of ``ulimit -v``."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    try:
        size, *_, data, _ = (float(n) * resource.getpagesize() for n in Path("/proc/self/statm").read_text().split())
    except OSError:
        size = data = 0.0
    kinds = ((resource.RLIMIT_AS, size), (resource.RLIMIT_DATA, data))
    limits = ((resource.getrlimit(kind)[0], used) for kind, used in kinds)
    return min((limit - used for limit, used in limits if limit != resource.RLIM_INFINITY), default=math.inf)
