"""Streamed images: the batches of a data set in memory, from files, workers and the cache; and what can go wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from raynas.data import streaming
from raynas.data.image_batches import ImageBatches
from raynas.data.image_sets import load_images
from raynas.data.images import ImageData
from raynas.data.streamed_images import StreamedImages
from raynas.data.streaming import Streaming, free_memory
from raynas.errors import DataError
from tests.data.files import photos, splits_of

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def streamed(root: Path, n_workers: int = 0, cache_dir: Path | None = None) -> ImageData:
    how = Streaming(above_gb=0, n_workers=n_workers, cache_dir=cache_dir)
    return load_images(f"folder:{root}", image_size=8, streaming=how)


def in_memory(root: Path) -> ImageData:
    return load_images(f"folder:{root}", image_size=8, streaming=Streaming(above_gb=1))


def epoch(data: ImageData, augment: str = "crop_flip", seed: int = 3) -> list[Tensor]:
    batches = ImageBatches(data=data, batch_size=4, augment=augment, device=CPU)
    return [tensor for batch in (*batches.train(seed), *batches.examine("valid")) for tensor in batch]


def assert_same(one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("cached", [False, True])
def test_batches_are_those_of_data_in_memory(n_workers: int, cached: bool, tmp_path: Path) -> None:
    root = photos(tmp_path)
    data, expected = streamed(root, n_workers, tmp_path / "cache" if cached else None), in_memory(root)
    assert isinstance(data.train.images, StreamedImages) and isinstance(expected.train.images, np.ndarray)
    assert (data.mean, data.std, data.n_classes, data.augment) == (
        expected.mean,
        expected.std,
        expected.n_classes,
        expected.augment,
    )
    before = torch.get_rng_state()
    for _ in range(2):
        assert_same(epoch(data), epoch(expected))
    assert torch.equal(before, torch.get_rng_state()), "dropout would be another"


CHANGES: dict[str, Callable[[ImageData], ImageData]] = {
    "fewer": lambda data: data.reduced(0.5),
    "smaller": lambda data: data.reduced(1.0, 4),
    "larger": lambda data: data.reduced(1.0, 12),
    "first half": lambda data: data.halves()[0],
    "second half": lambda data: data.halves()[1],
    "without test": lambda data: data.without_test(),
    "final": lambda data: data.for_final_training(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_parts_and_fidelities_are_those_of_data_in_memory(
    change: Callable[[ImageData], ImageData], tmp_path: Path
) -> None:
    root = photos(tmp_path)
    data, expected = change(streamed(root, cache_dir=tmp_path / "cache")), change(in_memory(root))
    assert data.input_shape == expected.input_shape and (data.mean, data.std) == (expected.mean, expected.std)
    for _ in range(2):
        assert_same(epoch(data), epoch(expected))


def test_statistics_of_many_images_are_those_of_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photos(tmp_path)
    whole = in_memory(root)
    monkeypatch.setattr("raynas.data.image_sets.N_STATISTICS", 3)
    assert streamed(root).mean == in_memory(root).mean != whole.mean


# --- the cache -------------------------------------------------------------------------------------------------------


def test_decoded_images_are_not_decoded_again(tmp_path: Path) -> None:
    root = photos(tmp_path)
    data = streamed(root, 2, tmp_path / "cache")
    expected = epoch(data)
    for file in root.rglob("*.png"):
        file.write_bytes(b"")
    assert_same(epoch(data), expected)
    with pytest.raises(DataError, match="the file is empty"):
        streamed(root, 0, tmp_path / "cache")


def test_other_images_of_the_same_names_have_another_cache(tmp_path: Path) -> None:
    root = photos(tmp_path)
    epoch(streamed(root, cache_dir=tmp_path / "cache"))
    for file in root.rglob("*.png"):
        Image.new("RGB", (9, 9), (1, 2, 3)).save(file)
    assert_same(epoch(streamed(root, cache_dir=tmp_path / "cache")), epoch(in_memory(root)))


def test_a_damaged_cache_is_mended(tmp_path: Path) -> None:
    """As by a power cut, or by a process that writes at the same time."""
    root = photos(tmp_path)
    data = streamed(root, cache_dir=tmp_path / "cache")
    expected = epoch(data)
    (file,) = (tmp_path / "cache").iterdir()
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content[: len(content) * 2 // 3])
    assert_same(epoch(data), expected)
    assert file.stat().st_size == len(content)


def test_a_cache_that_does_not_fit_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = photos(tmp_path)
    monkeypatch.setattr("raynas.data.decoded_cache.FREE_SHARE", 0.0)
    assert_same(epoch(streamed(root, cache_dir=tmp_path / "cache")), epoch(in_memory(root)))
    assert not list((tmp_path / "cache").iterdir())
    assert caplog.text.count("decoded images are not kept") == 1  # not in every batch


def test_a_folder_that_the_cache_cannot_be_written_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = photos(tmp_path)
    (tmp_path / "cache").write_text("a file in the way")
    assert_same(epoch(streamed(root, cache_dir=tmp_path / "cache")), epoch(in_memory(root)))
    assert caplog.text.count("decoded images are not kept") == 1


# --- workers that train together -------------------------------------------------------------------------------------


def test_each_worker_reads_its_share_alone(tmp_path: Path) -> None:
    data = streamed(photos(tmp_path))
    assert isinstance(data.train.images, StreamedImages)
    whole = [*data.batches(batch_size=5, augment="none", device=CPU).train(0)]
    read: list[int] = []

    class Recording(StreamedImages):
        def read(self, chosen: np.ndarray) -> np.ndarray:
            read.extend(chosen.tolist())
            return super().read(chosen)

    images = Recording(**vars(data.train.images))
    data = replace(data, train=replace(data.train, images=images))
    shares = []
    for rank in range(2):
        read.clear()
        batches = data.batches(batch_size=5, augment="none", device=CPU).share(rank, 2)
        shares.append([*batches.train(0)])
        assert len(read) == 2 * len(whole) == 2 * batches.n_steps, "2 of the 5 of each batch; the fifth is left out"
    for step, (inputs, labels) in enumerate(whole):
        for rank, share in enumerate(shares):
            assert torch.equal(share[step][0], inputs[rank:4:2]) and torch.equal(share[step][1], labels[rank:4:2])


def test_workers_augment_each_in_their_way(tmp_path: Path) -> None:
    data = in_memory(photos(tmp_path))
    same = replace(data, train=data.train.take(np.zeros(8, np.int64)))
    first, second = (
        next(iter(same.batches(batch_size=8, augment="crop_flip", device=CPU).share(rank, 2).train(0)))[0]
        for rank in range(2)
    )
    assert not torch.equal(first, second)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [0, 1])
def test_an_image_that_is_damaged_is_named_in_one_line(
    n_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raynas.data.streamed_images.N_PROBED", 2)
    monkeypatch.setattr("raynas.data.streamed_images.N_SAMPLED", 2)
    monkeypatch.setattr("raynas.data.image_sets.N_STATISTICS", 2)
    root = photos(tmp_path)
    whole = {file: file.read_bytes() for file in root.rglob("*.png")}
    for file, content in whole.items():
        file.write_bytes(content[:60])
    with pytest.raises(DataError, match=r"image .*png cannot be read: "):
        streamed(root)
    for file, content in whole.items():
        file.write_bytes(content)
    data = streamed(root, n_workers)
    for file in sorted(whole):
        file.write_bytes(whole[file][:60])
    with pytest.raises(DataError) as caught:
        epoch(data)
    assert "cannot be read: " in str(caught.value) and "repair, convert or remove it" in str(caught.value)
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


def test_other_depths_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photos(tmp_path)
    data = streamed(root)
    for file in root.rglob("*.png"):
        Image.fromarray(np.zeros((9, 9), np.uint16)).save(file)
    with pytest.raises(DataError, match="has 16 bits, others have 8 bits; convert them to the same depth"):
        epoch(data)
    with pytest.raises(DataError, match=r"have 16 bits of grey, .* raise stream_above_gb to hold them in memory"):
        streamed(root)
    for file in root.rglob("*.png"):
        file.unlink()
    with pytest.raises(DataError, match="is gone, or not on this machine: every node must see it by this path"):
        epoch(data)


def test_a_process_that_decodes_and_is_killed(tmp_path: Path) -> None:
    data = streamed(photos(tmp_path), n_workers=1)

    class Killed(StreamedImages):
        def read(self, chosen: np.ndarray) -> np.ndarray:
            os._exit(1)

    images = Killed(**vars(data.train.images))
    data = replace(data, train=replace(data.train, images=images))
    with pytest.raises(DataError, match=r"a process that decodes images ended .*; lower data_workers") as caught:
        epoch(data)
    assert "\n" not in str(caught.value)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_what_fits_into_memory_is_read_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, decoded = photos(tmp_path), 24 * 8 * 8 * 3
    for free, is_streamed in ((decoded * 8, False), (decoded * 8 - 8, True)):
        monkeypatch.setattr(streaming, "free_memory", lambda free=free: float(free))
        data = load_images(f"folder:{root}", image_size=8)
        assert isinstance(data.train.images, StreamedImages) == is_streamed
    assert [len(split) for split in splits_of(data)] == [len(split) for split in splits_of(in_memory(root))]
    monkeypatch.undo()
    assert 1e6 < free_memory() < 1e15


@pytest.mark.parametrize(
    ("limit", "used"),
    [("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")],
)
def test_the_memory_of_a_container(limit: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_CGROUP", tmp_path)
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text("max")
    (tmp_path / used).write_text("400")
    assert free_memory() > 1000
    (tmp_path / limit).write_text("1000")
    assert free_memory() == 600


LIMITED = """
import resource, sys
import torch
from raynas.data.image_sets import load_images
from raynas.data.streaming import Streaming, free_memory
torch.set_num_threads(1)
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 80_000_000,) * 2)
assert free_memory() <= 80_000_000
how = Streaming(above_gb=float(sys.argv[2]), n_workers=0)
data = load_images("folder:" + sys.argv[1], image_size=224, streaming=how)
batches = data.batches(batch_size=8, augment="none", device=torch.device("cpu"))
print(sum(len(labels) for _, labels in batches.train(0)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS does not hold processes to the limit")
def test_data_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    """800 images of 150 kB, with 80 MB allowed."""
    for i in range(800):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (i % 256, 0, 0)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    streamed, held = (
        subprocess.run(
            [sys.executable, "-c", LIMITED, str(tmp_path), above], cwd=ROOT, capture_output=True, text=True, check=False
        )
        for above in ("0", "1")
    )
    assert streamed.returncode == 0 and int(streamed.stdout) == 512, streamed.stderr
    assert held.returncode != 0 and "Unable to allocate" in held.stderr, "it fits, so the test shows nothing"
