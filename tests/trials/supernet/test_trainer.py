"""The training of shared weights, without Ray."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from raynas.data.image_batches import ImageBatches
from raynas.data.images import ImageData
from raynas.nn import Choice, ModelSpace, Supernet
from raynas.trials.supernet.trainer import SupernetTrainer
from tests.trials.supernet.small import CPU, SPACE, HeldOut, Seen, settings, trained, trainer_of


def test_gradients_are_clipped() -> None:
    given = settings(epochs=1, clip_norm=1e-6, weight_decay=0.0, batch_size=128)
    after = dict(trainer_of(trained(given)).model.named_parameters())
    space, source = given.fitted(SPACE)
    for name, before in given.trainer(space, source, CPU).model.named_parameters():
        assert torch.allclose(before, after[name], atol=1e-5), name


def test_scoring_candidates_leaves_the_shared_weights_alone() -> None:
    trainer = trainer_of(trained(settings(epochs=1)))
    before = {name: tensor.clone() for name, tensor in trainer.learner.supernet.state_dict().items()}
    trainer.examine_candidates()
    assert all(torch.equal(before[n], t) for n, t in trainer.learner.supernet.state_dict().items())


def test_candidates_of_partial_channels_are_scored_as_paths() -> None:
    def candidates(k: int) -> dict[str, Callable[[], nn.Module]]:
        return {"a": lambda: nn.Conv2d(8 // k, 8 // k, 3, padding=1), "b": nn.Identity}

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8)
            self.op = Choice(candidates(1), "op", narrow=candidates)
            self.head = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.op(self.norm(self.stem(x))).mean((2, 3)))
            return out

    space, source = settings(batch_size=32).fitted(ModelSpace(Narrow, input_shape=(1, 8, 8)))
    trainer = SupernetTrainer(Supernet(space, partial_channels=4), source, settings(batch_size=32), device=CPU)
    before = {name: tensor.clone() for name, tensor in trainer.learner.supernet.state_dict().items()}
    assert 0 <= trainer.examine_candidates()["accuracy"] <= 1
    assert all(torch.equal(before[n], t) for n, t in trainer.learner.supernet.state_dict().items())


def test_held_out_batches_are_the_other_half_of_the_training_images() -> None:
    runner = trained(settings(method=HeldOut(), epochs=1, batch_size=32))
    trainer = trainer_of(runner)
    assert isinstance(trainer.learner, Seen) and isinstance(trainer.batches, ImageBatches)
    n_steps = trainer.batches.n_steps
    assert [len(labels) for labels in trainer.learner.labels] == [32] * int(n_steps)
    _, source = settings().fitted(SPACE)
    assert isinstance(source, ImageData)
    n_watched = runner.trial.history[0]["n_watched"]
    assert n_watched == pytest.approx(len(source.train) / 2, abs=10)  # of each class, rounded
    # The validation split stays for scoring.
    assert np.array_equal(trainer.batches.data.valid.array, source.valid.array)
