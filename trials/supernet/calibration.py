"""Images for the recalibration of batch norms."""

import dataclasses
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from raynas.data.sources import Source
from raynas.seeds import seed_of

if TYPE_CHECKING:
    from raynas.trials.training import Training


def calibration_images(
    source: Source, settings: "Training", n_batches: int, device: torch.device
) -> Callable[[], Iterable[Tensor]]:
    """Return a function that gives the same training images at each call; those in memory are not augmented.

    Args:
        source: the data.
        settings: has the size of a batch.
        n_batches: number of batches.
        device: device of the images.
    """
    batches = dataclasses.replace(settings, augment="none").batches(source, device)
    kept: list[Tensor] = []

    def images() -> list[Tensor]:
        if not kept:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                kept.extend(images for images, _ in islice(batches.train(seed_of("calibration")), n_batches))
        return kept

    return images
