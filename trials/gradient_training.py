"""GradientTraining: settings of trials that train a network by gradient descent on a data set."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from typing_extensions import Self

from raynas.data.augment import AUGMENTATIONS
from raynas.data.batches import Batches
from raynas.data.loaders import Targets
from raynas.data.sources import Source, load_source
from raynas.data.streaming import Streaming
from raynas.errors import UnknownNameError
from raynas.trials.data_settings import DataSettings
from raynas.trials.optimizers import OPTIMIZERS, SCHEDULES
from raynas.trials.ranges import check_numbers
from raynas.validate import require, require_whole


@dataclass(frozen=True, kw_only=True)
class GradientTraining(DataSettings):
    """Settings of trials that train a network by gradient descent on a data set.

    The config of a trial may set any of ``TUNABLE`` itself, to search hyperparameters jointly. ``data_fraction``,
    ``resolution`` and few ``epochs`` make a trial cheaper (a lower fidelity); params, macs and latency_ms are always
    those of the network as the space builds it, at full size.

    Args:
        data: "digits", "scattered_digits", "mnist", "fashion_mnist", "cifar10", "cifar100", ``npz:PATH``,
            ``folder:PATH``, ``shards:PATH``, or ``module:function`` for loaders of your own.
        data_dir: folder of downloads.
        image_size: height and width that the images of ``folder:PATH`` and ``shards:PATH`` are resized to, in pixels.
        valid_share: share of the training images to hold out for validation if the data has no validation split.
        epochs: number of epochs.
        batch_size: number of examples per step.
        lr: the highest learning rate; None for the usual one of the optimizer, 0.1 for SGD and 0.001 for Adam.
        optimizer: "sgd", "adam" or "adamw".
        momentum: momentum of SGD; beta1 of Adam.
        nesterov: True for Nesterov's momentum; only SGD has it.
        weight_decay: weight decay of all parameters.
        schedule: "cosine" or "constant".
        final_lr_share: share of ``lr`` at which the cosine ends, from 0 to 1.
        warmup_epochs: epochs in which the rate rises to ``lr``; may be a fraction.
        clip_norm: largest norm of the gradient of all weights; None for no limit.
        augment: "auto" (the one that suits the data), "none", "shift", "crop_flip" or "crop_flip_cutout"; loaders of
            your own augment by themselves.
        dtype: "float32", or "bfloat16" or "float16" for mixed precision; losses are scaled for the latter, whose
            smallest numbers are too large for some gradients.
        data_fraction: share of the training images to use, above 0 and up to 1; share of the batches of each epoch for
            loaders of your own.
        resolution: height and width to resize images to, in pixels; None keeps them.
        stream_above_gb: size of their decoded images, in GB, above which they are not held in memory but
            decoded when they are needed; None for an eighth of the free memory.
        data_workers: number of processes of each trial that decode them then; not counted among the CPUs that it asks
            Ray for.
        cache_images: True keeps decoded images in ``data_dir`` on each node, where half of the free space is enough.

    Raises:
        ValueError: if a value is out of range.
        UnknownNameError: if an optimizer, a schedule or an augmentation is unknown.
    """

    data: str = "digits"
    data_dir: str = "~/.cache/raynas"
    image_size: int = 64
    valid_share: float = 0.2
    epochs: int = 5
    batch_size: int = 64
    lr: float | None = None
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    final_lr_share: float = 0.0
    warmup_epochs: float = 0.5
    clip_norm: float | None = None
    augment: str = "auto"
    dtype: str = "float32"
    data_fraction: float = 1.0
    resolution: int | None = None
    stream_above_gb: float | None = None
    data_workers: int = 2
    cache_images: bool = True

    trains: ClassVar[bool] = True
    DTYPES: ClassVar[tuple[str, ...]] = ("float32", "bfloat16", "float16")
    targets: ClassVar[Targets] = "classes"
    """Kind of what the data holds besides inputs."""
    TUNABLE: ClassVar[tuple[str, ...]] = (
        "augment",
        "batch_size",
        "clip_norm",
        "final_lr_share",
        "lr",
        "momentum",
        "nesterov",
        "optimizer",
        "schedule",
        "warmup_epochs",
        "weight_decay",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "batch_size", "image_size"):
            require_whole(name, getattr(self, name), 1)
        if self.resolution is not None:
            require_whole("resolution", self.resolution, 1)
        require_whole("data_workers", self.data_workers, 0)
        require(isinstance(self.cache_images, bool), "cache_images must be True or False", self.cache_images)
        check_numbers(self)
        require(self.dtype in self.DTYPES, f"dtype must be one of {', '.join(self.DTYPES)}", self.dtype)
        for kind, name, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("augmentation", self.augment, {**AUGMENTATIONS, "auto": None}),
        ):
            if name not in known:
                raise UnknownNameError(kind, str(name), known)

    @property
    def max_fidelity(self) -> int:
        """Number of epochs of a trial."""
        return self.epochs

    @property
    def learning_rate(self) -> float:
        """``lr``, or the usual one of the optimizer."""
        return self.lr if self.lr is not None else {"sgd": 0.1}.get(self.optimizer, 1e-3)

    @property
    def at_full_fidelity(self) -> Self:
        """These settings with all data at its resolution."""
        return dataclasses.replace(self, data_fraction=1.0, resolution=None)

    def lr_factor(self, start: float, end: float) -> float:
        """Return the factor on ``lr`` for a step from epoch ``start`` to epoch ``end``, which may be fractions."""
        if start < self.warmup_epochs:
            return min(end / self.warmup_epochs, 1.0)
        left = SCHEDULES[self.schedule]((start - self.warmup_epochs) / (self.epochs - self.warmup_epochs))
        return self.final_lr_share + (1 - self.final_lr_share) * left

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse hyperparameters that are not in ``TUNABLE``.

        Raises:
            UnknownNameError: if there is such a name.
        """
        for name in names:
            if name not in self.TUNABLE:
                raise UnknownNameError("hyperparameter", name, self.TUNABLE)

    def with_hyperparameters(self, hyperparameters: Mapping[str, object]) -> Self:
        """Return these settings with the hyperparameters of a trial's config.

        Raises:
            UnknownNameError: if one is not in ``TUNABLE``.
            ValueError: if a value is out of range.
        """
        self.check_hyperparameters(hyperparameters)
        values: dict[str, Any] = dict(hyperparameters)
        size = values.get("batch_size")
        if isinstance(size, float) and size.is_integer():  # tune.quniform and HyperOpt give floats
            values["batch_size"] = int(size)
        return dataclasses.replace(self, **values)

    def load_source(self) -> Source:
        """Load the data, whole and with its test split.

        Raises:
            RaynasError: if it is missing, empty or malformed.
        """
        return load_source(
            self.data,
            data_dir=self.data_dir,
            image_size=self.image_size,
            valid_share=self.valid_share,
            targets=self.targets,
            streaming=Streaming(
                above_gb=self.stream_above_gb,
                n_workers=self.data_workers,
                cache_dir=Path(self.data_dir).expanduser().resolve() / "decoded" if self.cache_images else None,
            ),
        )

    def data_settings(self) -> "GradientTraining":
        """Return these settings."""
        return self

    def batches(self, source: Source, device: torch.device) -> Batches:
        """Return the batches of a source, which has the fidelity of the training already."""
        return source.batches(batch_size=self.batch_size, augment=self.augment, device=device)
