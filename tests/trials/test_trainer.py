"""Training a network, whatever interrupts it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.data.batches import Batch, Batches
from raynas.data.image_batches import ImageBatches
from raynas.data.image_sets import load_images
from raynas.errors import DataError, RaynasError
from raynas.nn.fast.depthwise import depthwise_conv2d
from raynas.trials import Training
from raynas.trials.task import Classification, logits_of
from raynas.trials.trainer import Trainer
from raynas.trials.workers import Workers
from tests.trials.spaces import TinyCnn

ARCH = {"depth": 2, "kernel": 3}
FAST = Training(epochs=2, data_fraction=0.3)


def trainer(settings: Training, seed: int = 0) -> Trainer:
    device = torch.device("cpu")
    data = load_images("digits").reduced(settings.data_fraction)
    batches = ImageBatches(data=data, batch_size=settings.batch_size, augment="shift", device=device)
    torch.manual_seed(seed)
    model = TinyCnn().build(Architecture(ARCH))
    return Trainer(model, batches, settings, seed=seed, device=device, task=Classification(10))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_going_on_from_a_checkpoint_is_exact(optimizer: str, tmp_path: Path) -> None:
    settings = Training(epochs=4, data_fraction=0.3, optimizer=optimizer)
    whole, first = trainer(settings), trainer(settings)
    for _ in range(4):
        whole.train_epoch()
    for _ in range(2):
        first.train_epoch()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = trainer(settings, seed=0)
    torch.rand(7)  # what the process did in between must not matter
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(2):
        second.train_epoch()
    assert second.finished and whole.finished
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    assert whole.examine() == second.examine()


def test_every_epoch_has_its_own_order_and_the_next_seed_has_others() -> None:
    class Recording(ImageBatches):
        def train(self, seed: int) -> Iterator[Batch]:
            seeds.append(seed)
            return super().train(seed)

    seeds: list[int] = []
    for seed in (0, 1):
        run = trainer(FAST, seed)
        assert isinstance(run.batches, ImageBatches)
        run.batches = Recording(**vars(run.batches))
        run.train_epoch()
        run.train_epoch()
    assert len(set(seeds)) == 4


def test_hyperparameters_of_the_new_trainer_win_over_the_checkpoint() -> None:
    first = trainer(dataclasses.replace(FAST, weight_decay=0.01))
    first.train_epoch()
    second = trainer(dataclasses.replace(FAST, weight_decay=0.02, momentum=0.5))
    second.load_state_dict(first.state_dict())
    assert second._optimizer.param_groups[0]["weight_decay"] == 0.02
    assert second._optimizer.param_groups[0]["momentum"] == 0.5


def test_gradients_are_clipped() -> None:
    """A step of plain SGD moves all weights together by the rate times the largest norm."""
    run = trainer(Training(epochs=1, lr=0.5, momentum=0.0, weight_decay=0.0, warmup_epochs=0, clip_norm=1e-3))
    before = [p.detach().clone() for p in run.model.parameters()]
    inputs, labels = next(iter(run.batches.train(0)))
    run.model.train()
    run._set_lr(0, 10)
    run._step(inputs, labels)
    moved = torch.stack([(a.detach() - b).norm() for a, b in zip(run.model.parameters(), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(0.5e-3, rel=1e-2)


def test_depthwise_convolutions_train_with_fast_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def watched(x: Tensor, weight: Tensor, **geometry: tuple[int, int]) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return depthwise_conv2d(x, weight, **geometry)

    monkeypatch.setattr("raynas.nn.fast.plain_training.depthwise_conv2d", watched)
    device, data = torch.device("cpu"), load_images("digits").reduced(0.3)
    wide = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    model = nn.Sequential(nn.Conv2d(1, 4, 1), wide, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    batches = ImageBatches(data=data, batch_size=64, augment="shift", device=device)
    training = Trainer(model, batches, FAST, seed=0, device=device, task=Classification(10))
    training.train_epoch()
    training.examine()
    assert len(calls) == batches.n_steps and all(calls)
    assert "_conv_forward" not in vars(wide)


def test_a_state_of_another_network_is_refused() -> None:
    other = trainer(FAST)
    other.model = nn.Linear(3, 4)
    with pytest.raises(RuntimeError):
        trainer(FAST).load_state_dict(other.state_dict())


def test_mixed_precision_trains() -> None:
    run = trainer(dataclasses.replace(FAST, dtype="bfloat16"))
    assert 0 < run.train_epoch() < 5
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    assert set(run.examine()) == {"accuracy", "loss"}


def test_labels_must_have_a_logit_each() -> None:
    images = torch.zeros(3, 4)
    assert logits_of(nn.Linear(4, 2), images).shape == (3, 2)
    with pytest.raises(RaynasError, match=r"must give logits of shape \(3, 5\), got \(3, 2\)"):
        logits_of(nn.Linear(4, 2), images, n_classes=5)
    with pytest.raises(RaynasError, match="gives a tuple of 2; Training needs logits: "):
        logits_of(nn.LSTM(4, 2), images)


class OfSizes(Batches):
    """Batches of features of the given sizes."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    @property
    def n_steps(self) -> int:
        return len(self.sizes)

    def train(self, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(0)
        for n in self.sizes:
            yield torch.rand(n, 4, generator=generator), torch.arange(n) % 2

    def examine(self, part: str) -> Iterator[Batch]:
        return self.train(0)


def trained_on(*sizes: int) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    settings = Training(epochs=2, warmup_epochs=0, schedule="constant")
    trainer = Trainer(model, OfSizes(*sizes), settings, seed=0, device=torch.device("cpu"), task=Classification(2))
    for _ in range(2):
        trainer.train_epoch()
    return model


def test_a_rest_of_one_example_is_left_out_where_batch_norm_cannot_take_it(caplog: pytest.LogCaptureFixture) -> None:
    with_rest, without = trained_on(4, 4, 1), trained_on(4, 4)
    assert caplog.text.count("drop_last=True") == 1, "said once"
    for first, second in zip(with_rest.parameters(), without.parameters(), strict=True):
        assert torch.equal(first, second)
    with pytest.raises(RaynasError, match=r"a batch of one example cannot pass a batch norm: .*drop_last=True"):
        trained_on(1, 1)


@pytest.mark.parametrize(
    ("n_workers", "reason"), [(1, "there are no training batches"), (2, "has an example for each of 2 workers; make")]
)
def test_an_epoch_without_a_step_says_why(n_workers: int, reason: str) -> None:
    workers = Workers(0, n_workers)
    settings, task = Training(epochs=1, warmup_epochs=0), Classification(2)
    run = Trainer(
        nn.Linear(4, 2), OfSizes(0, 0), settings, seed=0, device=torch.device("cpu"), task=task, workers=workers
    )
    with pytest.raises(DataError, match=reason):
        run.train_epoch()


def test_volumes_have_no_order_of_channels_to_change() -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
    settings = Training(epochs=1, warmup_epochs=0)

    class Volumes(OfSizes):
        def train(self, seed: int) -> Iterator[Batch]:
            return ((torch.rand(len(x), 1, 3, 3, 3), labels) for x, labels in super().train(seed))

    trainer = Trainer(model, Volumes(4), settings, seed=0, device=torch.device("cpu"), task=Classification(2))
    assert trainer.train_epoch() > 0 and set(trainer.examine()) == {"accuracy", "loss"}
