"""Loaders: loaders or datasets of the user's, named as ``module:function`` and made once in each process."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset

from raynas.core.inputs import Inputs, InputSpec, TensorSpec, describe, leaves, mapped, spec_of
from raynas.data.batches import Batch, Batches, examine_batch, shares_of
from raynas.data.loader_checks import check_label_range, checked_pair, checked_targets, kind_of
from raynas.data.moving import ahead, moved
from raynas.data.split_loaders import half_of, loads_shares, share_of_loader
from raynas.data.splitting import SPLIT_SEED
from raynas.errors import DataError, one_line
from raynas.isolation import seeded
from raynas.user_code import load_function

Targets = Literal["classes", "any"]
"""Kind of what batches hold besides inputs: a class for each example; or anything, also nothing."""

PARTS = ("train", "valid", "test")

CHECK_SECONDS, CHECK_BATCH = 1.0, 64
"""Time to look at each loader before anything is trained, and the size of the batches of a dataset then."""


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """The return value of ``module:function``: ``(train, valid)`` or ``(train, valid, test)``; a ``Source``.

    Each is a loader or a map-style dataset. Only the name travels to other processes; each calls the function once and
    keeps the value.

    Args:
        name: ``module:function``.
        inputs: description of the inputs of the first training batch.
        n_classes: number of classes, if the training dataset lists them as ``classes``.
        fraction: share of the training batches to take in each epoch.
        resolution: height and width in pixels to resize images to; None keeps them.
        everything: True trains on the validation split too, if there is a test split.
        dtypes: types of the tensors of an example, as networks take them; float32 for all if empty.
        targets: see ``load_source``.
        half: 0 or 1 for that half of the training examples; None for all.
    """

    name: str
    inputs: InputSpec = field(hash=False)
    n_classes: int | None
    fraction: float = 1.0
    resolution: int | None = None
    everything: bool = False
    dtypes: tuple[torch.dtype, ...] = ()
    targets: Targets = "classes"
    half: int | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of an example; empty if the inputs are several tensors."""
        return self.inputs.sizes() if isinstance(self.inputs, TensorSpec) else ()

    @classmethod
    def of(cls, name: str, targets: Targets = "classes") -> "Loaders":
        """Call the function once and look at its first batch.

        Args:
            name: ``module:function``.
            targets: see ``load_source``.

        Raises:
            DataError: if it does not return loaders or datasets of inputs and labels.
            RaynasError: if it cannot be imported.
        """
        train = _parts(name)["train"]
        dataset = train if isinstance(train, Dataset) else getattr(train, "dataset", None)
        classes = getattr(dataset, "classes", None)
        n_classes = len(classes) if isinstance(classes, Sized) else None
        loaders = cls(name=name, inputs=(), n_classes=n_classes, targets=targets)
        with torch.random.fork_rng(devices=[]):
            for inputs, _ in loaders.read("train", 1):
                return replace(loaders, inputs=spec_of(inputs))
        raise DataError(f"{name}: the training loader is empty")

    @property
    def has_test(self) -> bool:
        """True if the function returned a test split."""
        return len(_parts(self.name)) == 3

    def for_inputs(self, dtypes: Sequence[torch.dtype]) -> "Loaders":
        """Return the loaders with inputs of the types that networks take."""
        return replace(self, dtypes=tuple(dtypes))

    def check(self, fits: Callable[[Inputs], bool], n_outputs: int | None) -> None:
        """Look at the batches of the training and validation loaders, for a second each; see ``Source``.

        Raises:
            DataError: if inputs do not fit, or a label is out of range.
        """
        batches = self.batches(batch_size=CHECK_BATCH, augment="none", device=torch.device("cpu"))
        with torch.random.fork_rng(devices=[]):
            for part, looked_at in (("train", batches.train(0)), ("valid", batches.examine("valid"))):
                started = time.monotonic()
                for inputs, labels in looked_at:
                    if not fits(inputs):
                        raise DataError(
                            f"{self.name}: a batch of {part} holds {describe(spec_of(inputs))} for each example, which "
                            f"the networks do not take; the first batch of train holds {describe(self.inputs)}"
                        )
                    if n_outputs is not None:
                        check_label_range(labels, n_outputs, f"{self.name}: a batch of {part}")
                    if time.monotonic() - started > CHECK_SECONDS:
                        break

    def without_test(self) -> "Loaders":
        """Return the loaders as they are: a search does not ask for their test split."""
        return self

    def for_final_training(self) -> "Loaders":
        """Return the loaders to train on the validation split too, if there is a test split."""
        return replace(self, everything=True)

    def reduced(self, fraction: float = 1.0, resolution: int | None = None) -> "Loaders":
        """Return the loaders at lower fidelity; see ``Source``."""
        inputs = self.inputs
        if resolution is not None and isinstance(inputs, TensorSpec):
            inputs = replace(inputs, shape=(*inputs.sizes()[:1], resolution, resolution))
        return replace(self, fraction=fraction, resolution=resolution, inputs=inputs)

    def halves(self) -> tuple["Loaders", "Loaders"]:
        """Return the loaders with either half of the training examples; see ``Source``.

        Raises:
            DataError: if the training loader is no dataset with a length, nor a plain DataLoader of one.
        """
        halves = replace(self, half=0), replace(self, half=1)
        halves[0].loader("train", 1)
        return halves

    def batches(self, *, batch_size: int, augment: str, device: torch.device) -> "LoaderBatches":
        """Return the batches; loaders augment by themselves."""
        return LoaderBatches(loaders=self, batch_size=batch_size, device=device)

    def count(self, part: str, batch_size: int) -> int | None:
        """Return the number of batches of a part; None if it is unknown."""
        loader = self.loader(part, batch_size)
        try:
            return len(loader) if isinstance(loader, Sized) else None
        except TypeError:  # a DataLoader over an IterableDataset without a length
            return None

    def read(self, part: str, batch_size: int, rank: int = 0, n: int = 1) -> Iterator[Batch]:
        """Return the batches of a part, or the share of each that the worker ``rank`` of ``n`` trains on.

        Args:
            part: one of ``PARTS``.
            batch_size: counts only where the function returned a dataset.
            rank: number of the worker, from 0.
            n: number of workers.

        Raises:
            DataError: if a batch is not what ``targets`` says, such as a pair of inputs and integer labels.
        """
        where = f"{self.name}: a batch of {part}"
        check = checked_pair if self.targets == "classes" else checked_targets
        loader = self.loader(part, batch_size)
        if n > 1 and loads_shares(loader):
            loader, n = share_of_loader(loader, rank, n), 1
        batches = (check(batch, where) for batch in loader)
        return batches if n == 1 else shares_of(batches, rank, n)

    def loader(self, part: str, batch_size: int) -> Any:
        """Return the loader of a part, or of the half of the training examples.

        Args:
            part: one of ``PARTS``.
            batch_size: counts only where the function returned a dataset.

        Raises:
            DataError: if the training loader cannot be halved.
        """
        from_train = part == "train" or (part == "valid" and self.half == 1)
        given: Any = _parts(self.name)["train" if from_train else part]
        if from_train and self.half is not None:
            try:
                given = half_of(given, self.half, in_order=part != "train")
            except ValueError as error:
                raise DataError(
                    f"the train loader of {self.name} cannot be halved, as this method needs, because {error}: return "
                    "a dataset with a length, or give images as npz:PATH, folder:PATH or shards:PATH"
                ) from None
        is_dataset = isinstance(given, Dataset) or not isinstance(given, Iterable)
        if not is_dataset:
            return given
        in_order = part != "train" or isinstance(given, IterableDataset)
        # A rest of one example would break batch norm.
        drop_last = part == "train" and isinstance(given, Sized) and len(given) >= batch_size
        return DataLoader(given, batch_size, shuffle=not in_order, drop_last=drop_last)


@lru_cache(maxsize=1)
def _parts(name: str) -> dict[str, Any]:
    function = load_function(name)
    try:
        with seeded(SPLIT_SEED):  # a random split is the same in all trials, and in all workers of one
            parts = function()
    except Exception as error:
        raise DataError(f"{name} raised {one_line(error)}") from error
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise DataError(f"{name} must return (train, valid) or (train, valid, test), got {kind_of(parts)}")
    for part, loader in zip(PARTS, parts, strict=False):
        if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
            raise DataError(f"{name}: {part} must be a loader or a dataset, got {type(loader).__name__}")
    return dict(zip(PARTS, parts, strict=False))


@dataclass(frozen=True, kw_only=True)
class LoaderBatches(Batches):
    """Batches of the user's loaders, which shuffle, augment and normalise by themselves.

    Shuffling by torch's own samplers follows torch's generator, which the trainer seeds before each epoch.

    Args:
        loaders: the loaders.
        batch_size: counts only for datasets; a loader has its own.
        device: device of the batches.
        rank: number of the worker that trains on its share of each batch. It loads no other examples, unless they are
            from a stream.
        n_workers: number of those workers.
    """

    loaders: Loaders
    batch_size: int
    device: torch.device
    rank: int = 0
    n_workers: int = 1

    def share(self, rank: int, n: int) -> "LoaderBatches":
        return replace(self, rank=rank, n_workers=n)

    @property
    def _train_parts(self) -> list[str]:
        return ["train", "valid"] if self.loaders.everything and self.loaders.has_test else ["train"]

    @property
    def n_steps(self) -> int | None:
        counts = [self.loaders.count(part, self.batch_size) for part in self._train_parts]
        if None in counts:
            if self.loaders.fraction < 1:
                raise DataError(f"{self.loaders.name}: data_fraction needs a training loader with a length")
            return None
        return math.ceil(self.loaders.fraction * sum(count for count in counts if count is not None))

    @property
    def has_fixed_shapes(self) -> bool:
        # Loaders of images rarely mix sizes; texts vary in length.
        return len(self.loaders.input_shape) == 3

    def train(self, seed: int) -> Iterator[Batch]:
        batches = chain.from_iterable(
            self.loaders.read(part, self.batch_size, self.rank, self.n_workers) for part in self._train_parts
        )
        return ahead(islice(batches, self.n_steps), self._prepared, self.device)

    def examine(self, part: str) -> Iterator[Batch]:
        if part == "test" and not self.loaders.has_test:
            part = "valid"
        size = examine_batch(self.device, _n_bytes(self.loaders.inputs))
        return ahead(self.loaders.read(part, size), self._prepared, self.device)

    def _prepared(self, batch: Batch) -> Batch:
        inputs, labels = batch
        dtypes = iter(self.loaders.dtypes)

        def prepared(leaf: object) -> object:
            if not isinstance(leaf, Tensor):
                return leaf
            tensor = moved(leaf, self.device).to(next(dtypes, torch.float32))
            return self._as_images(tensor) if tensor.ndim == 4 and tensor.is_floating_point() else tensor

        def placed(leaf: object) -> object:
            return moved(leaf, self.device) if isinstance(leaf, Tensor) else leaf

        return mapped(inputs, prepared), mapped(labels, placed)

    def _as_images(self, images: Tensor) -> Tensor:
        side = self.loaders.resolution
        if side is not None and images.shape[2:] != (side, side):
            mode = "area" if side <= min(images.shape[2:]) else "bilinear"
            images = functional.interpolate(images, (side, side), mode=mode)
        return images.contiguous(memory_format=torch.channels_last)


def _n_bytes(inputs: InputSpec) -> int:
    """Return the size of the inputs of an example as far as it is known."""
    return sum(leaf.dtype.itemsize * math.prod(leaf.sizes()) for leaf in leaves(inputs) if isinstance(leaf, TensorSpec))
