"""The batch that metrics are measured with."""

import pytest
import torch

from raynas.errors import RaynasError
from raynas.metrics import METRICS, Batch
from raynas.trials import Training
from raynas.trials.data_batch import HeldBatch, batch_for, first_batch


def test_the_batch_is_the_first_of_an_epoch_and_follows_the_seed() -> None:
    training = Training(augment="shift", batch_size=8, data_fraction=0.1)
    source = training.load_source()
    before = torch.get_rng_state()
    first, again, other = (first_batch(training, source, 16, seed) for seed in (0, 0, 1))
    assert first.inputs.shape == (16, 1, 8, 8) and torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs) and torch.equal(torch.get_rng_state(), before)
    with pytest.raises(RaynasError, match="gives a first batch of 1 example; proxies need at least 2"):
        first_batch(training, source, 1, 0)


def test_a_held_batch_is_copied_at_each_call() -> None:
    batch = Batch(torch.rand(4, 3, 2, 2), torch.arange(4))
    held = HeldBatch(batch)
    taken = held()
    assert torch.equal(taken.inputs, batch.inputs) and torch.equal(taken.labels, batch.labels)
    taken.inputs.zero_()
    assert torch.equal(held().inputs, batch.inputs)
    flat = HeldBatch(Batch(torch.rand(4, 6), torch.arange(4)))
    assert flat().inputs.shape == (4, 6)


def test_it_is_drawn_only_where_a_metric_needs_it() -> None:
    def draw() -> Batch:
        drawn.append(1)
        return Batch(torch.rand(4, 1, 2, 2), torch.arange(4))

    drawn: list[int] = []
    assert batch_for(["accuracy", "params", "unknown"], draw) is None and not drawn
    assert batch_for(["accuracy", "synflow"], draw) is not None
    assert batch_for([METRICS["naswot"]], draw) is not None and len(drawn) == 2
