"""Source: a data set as trials see it, in memory or behind loaders of the user's."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from raynas.core.inputs import Inputs, InputSpec
from raynas.data.batches import Batches
from raynas.data.image_sets import STORES, check_is_no_path, load_images
from raynas.data.loaders import Loaders, Targets
from raynas.data.streaming import Streaming


class Source(Protocol):
    """A data set with a training, a validation and perhaps a test split."""

    @property
    def name(self) -> str:
        """The user's name for it."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""

    @property
    def inputs(self) -> InputSpec:
        """Description of the inputs."""

    @property
    def n_classes(self) -> int | None:
        """Number of classes; None if unknown."""

    def for_inputs(self, dtypes: Sequence[torch.dtype]) -> "Source":
        """Return the source with inputs of the types that networks take, one for each tensor."""

    def check(self, fits: Callable[[Inputs], bool], n_outputs: int | None) -> None:
        """Look at examples of both splits before anything is trained.

        Args:
            fits: tells if networks take a batch of inputs.
            n_outputs: number of classes that networks tell apart; None if they do not classify.

        Raises:
            DataError: if inputs do not fit, or a label is out of range.
        """

    def without_test(self) -> "Source":
        """Return the source for a search, which must not see the test split."""

    def for_final_training(self) -> "Source":
        """Return the source with the validation split as a part of the training split.

        Without a test split, the validation split becomes the test split instead.
        """

    def reduced(self, fraction: float = 1.0, resolution: int | None = None) -> "Source":
        """Return the source at lower fidelity.

        Args:
            fraction: share of the training examples to use, above 0 and up to 1.
            resolution: height and width in pixels to resize images to; None keeps them.
        """

    def halves(self) -> tuple["Source", "Source"]:
        """Return two sources with half of the training examples each; the second is validated on its own half.

        The validation split is part of the first alone.

        Raises:
            DataError: if the source cannot be split.
        """

    def batches(self, *, batch_size: int, augment: str, device: torch.device) -> Batches:
        """Return the batches of this source.

        Args:
            batch_size: size of training batches.
            augment: a key of ``AUGMENTATIONS``, or "auto" for the one that suits the data.
            device: device of the batches.
        """


def load_source(
    name: str,
    *,
    data_dir: str,
    image_size: int,
    valid_share: float,
    targets: Targets = "classes",
    streaming: Streaming | None = None,
) -> Source:
    """Load a data set by name; ``module:function`` is for loaders of the user's.

    Args:
        name: see ``load_images`` and ``Loaders``.
        data_dir: folder of downloads.
        image_size: height and width that the images of a folder are resized to, in pixels.
        valid_share: share of the training images to hold out for validation if the source has no validation split.
        targets: what batches of loaders hold: "classes" for pairs of inputs and a class for each example; "any" for
            pairs of inputs and anything, or for inputs alone, in a mapping, a tensor or a list of one.
        streaming: settings of images that are larger than memory; None for the usual ones.

    Raises:
        DataError: if the data is missing, empty or malformed.
        RaynasError: if the user's code cannot be imported.
        UnknownNameError: if there is no data set of that name.
    """
    kind, colon, _ = name.partition(":")
    if colon and kind not in ("npz", *STORES):
        check_is_no_path(name)  # C:\\photos
        return Loaders.of(name, targets)
    return load_images(name, directory=data_dir, image_size=image_size, valid_share=valid_share, streaming=streaming)
