"""Examples for the recalibration of batch norms."""

import dataclasses
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from raynas.core.inputs import Arguments
from raynas.data.sources import Source
from raynas.seeds import seed_of

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining


def calibration_inputs(
    source: Source, settings: "GradientTraining", n_batches: int, device: torch.device
) -> Callable[[], Iterable[Any]]:
    """Return a function that gives the same training examples at each call; images in memory are not augmented.

    Args:
        source: the data.
        settings: has the size of a batch.
        n_batches: number of batches.
        device: device of the examples.
    """
    batches = dataclasses.replace(settings, augment="none").batches(source, device)
    kept: list[Any] = []

    def inputs() -> list[Any]:
        if not kept:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                taken = islice(batches.train(seed_of("calibration")), n_batches)
                kept.extend(
                    inputs for inputs, _ in taken if Arguments.of(inputs).n_examples > 1
                )  # one is too few for a batch norm
        return kept

    return inputs
