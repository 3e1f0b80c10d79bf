"""Parts of the user's loaders: halves of their examples, and the share of each batch that one worker loads."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
)

from raynas.data.batches import share_of_batch
from raynas.data.splitting import SPLIT_SEED


def half_of(loader: Any, which: int, *, in_order: bool) -> Any:
    """Return one half of the examples of a dataset, or of a DataLoader, which halves share none of.

    Args:
        loader: a dataset with a length, or a DataLoader of one that shuffles or not.
        which: 0 or 1.
        in_order: True for all of the half, in order, whatever the DataLoader does.

    Raises:
        ValueError: if it cannot be halved; the message is the reason.
    """
    if not isinstance(loader, DataLoader):
        if isinstance(loader, Iterable) and not isinstance(loader, Dataset):
            raise ValueError("it is neither a dataset nor a DataLoader")
        return Subset(loader, _half(loader, which))
    sampler = loader.sampler
    # A sampler of the user's may have weights or groups that belong to all examples.
    is_plain = type(sampler) is SequentialSampler or (
        type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler.data_source)
    )
    if not _is_remade(loader) or not is_plain or type(loader.batch_sampler) not in (BatchSampler, type(None)):
        raise ValueError("it is a stream, or has a sampler or a loader class of your own")
    examples: Any = Subset(loader.dataset, _half(loader.dataset, which))
    shuffle, size = type(sampler) is RandomSampler and not in_order, loader.batch_size
    drop_last = loader.drop_last and size is not None and len(examples) >= size and not in_order
    return _remade(loader, examples, batch_size=size, shuffle=shuffle, drop_last=drop_last)


def _half(dataset: Any, which: int) -> list[int]:
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized) or not hasattr(dataset, "__getitem__"):
        raise ValueError("it is a stream")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(dataset))
    middle = (len(order) + 1) // 2
    return sorted((order[middle:] if which else order[:middle]).tolist())


def loads_shares(loader: object) -> bool:
    """Return True if ``share_of_loader`` takes a loader: a DataLoader that collects its batches from indices."""
    return isinstance(loader, DataLoader) and _is_remade(loader) and loader.batch_sampler is not None


def share_of_loader(loader: "DataLoader[Any]", rank: int, n: int) -> "DataLoader[Any]":
    """Return a DataLoader of one worker's share of each batch, which loads no other examples.

    The sampler draws whole batches, the same on each worker as far as torch's generator is the same.

    Args:
        loader: one that ``loads_shares``.
        rank: number of the worker, from 0.
        n: number of workers.
    """
    return _remade(loader, loader.dataset, batch_sampler=_Shares(loader.batch_sampler, rank, n))


class _Shares(BatchSampler):
    """Shares of the batches of a sampler; a batch of fewer examples than there are workers is left out by all."""

    def __init__(self, whole: Any, rank: int, n: int) -> None:
        self._whole, self._rank, self._n = whole, rank, n

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[list[int]]:
        for indices in self._whole:
            share = list(indices)[share_of_batch(len(indices), self._rank, self._n)]
            if share:
                yield share


def _is_remade(loader: "DataLoader[Any]") -> bool:
    """Return True if torch's own iteration over a dataset with indices is all that a loader does."""
    return type(loader).__iter__ is DataLoader.__iter__ and not isinstance(loader.dataset, IterableDataset)


def _remade(loader: "DataLoader[Any]", dataset: Any, **sampling: Any) -> "DataLoader[Any]":
    """Return a loader like another, of other examples or batches."""
    return DataLoader(
        dataset,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
        **sampling,
    )
