"""Images for the recalibration of batch norms."""

import dataclasses

import torch

from raynas.trials.supernet.calibration import calibration_inputs
from tests.trials.supernet.small import CPU, SPACE, settings


def test_the_same_images_at_each_call() -> None:
    given = settings(batch_size=16, augment="shift")
    _, source = given.fitted(SPACE)
    before = torch.get_rng_state()
    images = calibration_inputs(source, given, 2, CPU)
    first = list(images())
    assert [tuple(batch.shape) for batch in first] == [(16, 1, 8, 8)] * 2
    assert all(torch.equal(a, b) for a, b in zip(first, images(), strict=True))
    again = calibration_inputs(source, dataclasses.replace(given, augment="none"), 2, CPU)()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)), "they are not augmented"
    assert torch.equal(torch.get_rng_state(), before)
