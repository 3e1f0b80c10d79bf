"""Batches on a GPU: kept there or moved ahead, they are those of a CPU, and nothing waits."""

from typing import Any

import numpy as np
import pytest
import torch

from raynas.data.augment import AUGMENTATIONS
from raynas.data.batches import examine_batch
from raynas.data.images import ImageData, ImageSplit
from raynas.data.moving import ahead, free_memory, moved
from tests.device_counts import DeviceCounts
from tests.pretend_gpu import pretend_gpu


def data(dtype: type) -> ImageData:
    rng = np.random.default_rng(0)
    splits = [
        ImageSplit(rng.integers(1, 256, (n, 16, 16, 3)).astype(dtype), np.arange(n, dtype=np.int64) % 2)
        for n in (22, 9)
    ]
    given: dict[str, Any] = {"mean": (100.0, 120.0, 140.0), "std": (50.0, 60.0, 70.0), "augment": "crop_flip"}
    return ImageData(name="x", train=splits[0], valid=splits[1], test=None, n_classes=2, **given)


def epochs(dtype: type, augment: str, device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    batches = data(dtype).batches(batch_size=6, augment=augment, device=torch.device(device))
    found = [*batches.train(1), *batches.examine("valid"), *batches.train(2), *batches.examine("valid")]
    assert all(images.device.type == labels.device.type == device for images, labels in found)
    return [(images.cpu(), labels.cpu()) for images, labels in found]


@pytest.mark.parametrize("memory_bytes", [10**9, 1000], ids=["kept there", "moved ahead"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_batches_are_those_of_the_cpu(memory_bytes: int, dtype: type, augment: str) -> None:
    expected = epochs(dtype, augment, "cpu")
    with pretend_gpu(memory_bytes=memory_bytes):
        found = epochs(dtype, augment, "cuda")
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
        assert ours[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("memory_bytes", "copies"), [(10**9, 2), (1000, 9)])
def test_an_epoch_copies_little_and_waits_for_nothing(memory_bytes: int, copies: int) -> None:
    counts = DeviceCounts()
    with pretend_gpu(counts, memory_bytes):
        batches = data(np.uint8).batches(batch_size=6, augment="crop_flip", device=torch.device("cuda"))
        list(batches.train(0))
        first = counts.n_waits
        counts.clear()
        list(batches.train(1))
    assert first <= 5  # images, labels, mean, deviation and filling
    assert counts.to_device == copies, "order and draws of the epoch; or images, labels and draws of each batch"
    assert not counts.n_waits


def test_each_batch_is_moved_before_the_one_before_it_is_used() -> None:
    events: list[str] = []

    def move(batch: tuple[int, int]) -> tuple[int, int]:
        events.append(f"move {batch[0]}")
        return batch

    for device, expected in (("cpu", "move 0 use 0 move 1 use 1"), ("cuda", "move 0 move 1 use 0 use 1")):
        events.clear()
        with pretend_gpu():
            for batch in ahead([(0, 0), (1, 1)], move, torch.device(device)):
                events.append(f"use {batch[0]}")
        assert " ".join(events) == expected


def test_the_memory_share_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(memory_bytes=1000) as device:
        assert free_memory(device) == 1000
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda *_: 0.25)
        assert free_memory(device) == 250
        assert moved(torch.ones(2), device).is_cuda


def test_batches_of_an_evaluation_are_smaller_for_larger_inputs() -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert examine_batch(gpu, 4 * 3 * 32 * 32) == 1024 and examine_batch(gpu, 4 * 3 * 224 * 224) == 256
    assert examine_batch(gpu, 10**9) == 1 and examine_batch(cpu, 10**9) == examine_batch(cpu, 4) == 128
