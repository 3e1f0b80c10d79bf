"""Batches: normalised, shuffled, augmented as a whole, never written back to the arrays they come from."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from raynas.data.augment import AUGMENTATIONS
from raynas.data.batches import ArrayBatches, LoaderBatches, load_source
from raynas.data.images import Data, Split, load_data
from raynas.data.loaders import Loaders
from raynas.errors import DataError, RaynasError, UnknownNameError

CPU = torch.device("cpu")


def array_batches(data: Data, batch_size: int = 64, augment: str = "none") -> ArrayBatches:
    return ArrayBatches(data=data, batch_size=batch_size, augment=augment, device=CPU)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits")


def colourful(n: int = 12, size: int = 16, dtype: type = np.uint8) -> Data:
    images: NDArray[Any] = np.random.default_rng(0).integers(1, 256, (n, size, size, 3)).astype(dtype)
    split = Split(images, np.arange(n, dtype=np.int64) % 2)
    return Data(
        name="colourful",
        train=split,
        valid=split,
        test=None,
        n_classes=2,
        mean=(100.0, 120.0, 140.0),
        std=(50.0, 60.0, 70.0),
        augment="crop_flip",
    )


def test_batches_are_normalised_and_in_channels_last_format() -> None:
    data = colourful()
    images, labels = next(iter(array_batches(data).examine("valid")))
    assert images.shape == (12, 3, 16, 16) and images.is_contiguous(memory_format=torch.channels_last)
    expected = (data.valid.images - np.array(data.mean)) / np.array(data.std)
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    assert labels.tolist() == [0, 1] * 6


def test_an_epoch_shows_each_image_once_in_an_order_that_the_seed_decides(digits: Data) -> None:
    batches = array_batches(digits, batch_size=100)

    def order(seed: int) -> list[int]:
        return [int(x) for _, labels in batches.train(seed) for x in labels]

    assert order(1) == order(1) != order(2)
    assert batches.n_steps == 11 and len(order(1)) == 1100
    assert len({image.numpy().tobytes() for images, _ in batches.train(1) for image in images}) == 1100


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    batches = array_batches(colourful(), batch_size=100)
    assert [len(labels) for _, labels in batches.train(0)] == [12]


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shared_arrays_are_never_written_to(augment: str, dtype: type) -> None:
    data = colourful(dtype=dtype)
    data.train.images.flags.writeable = False
    data.train.labels.flags.writeable = False
    before = data.train.images.copy()
    batches = array_batches(data, augment=augment)
    for images, labels in (*batches.train(0), *batches.examine("valid")):
        images.zero_()
        labels.zero_()
    np.testing.assert_array_equal(data.train.images, before)


def test_the_test_split_is_not_there_for_trials() -> None:
    with pytest.raises(DataError, match="the test split is not here"):
        next(array_batches(colourful()).examine("test"))


# --- augmentation ----------------------------------------------------------------------------------------------------


def augmented(name: str, images: Tensor, fill: int = 0) -> Tensor:
    filling = torch.full((images.shape[-1],), fill, dtype=images.dtype)
    return AUGMENTATIONS[name](images, filling, torch.Generator().manual_seed(0))


def windows(image: Tensor, pad: int) -> Iterator[Tensor]:
    size = image.shape[0]
    padded = torch.nn.functional.pad(image, (0, 0, pad, pad, pad, pad))
    for i in range(2 * pad + 1):
        for j in range(2 * pad + 1):
            yield padded[i : i + size, j : j + size]


@pytest.mark.parametrize(("name", "flips"), [("shift", False), ("crop_flip", True)])
def test_every_image_is_shifted_by_itself(name: str, flips: bool) -> None:
    images = torch.from_numpy(colourful(40).train.images)
    outcome = augmented(name, images)
    n_mirrored = 0
    for image, got in zip(images, outcome, strict=True):
        plain = any(torch.equal(window, got) for window in windows(image, 2))
        mirrored = any(torch.equal(window.flip(1), got) for window in windows(image, 2))
        assert plain or (flips and mirrored)
        n_mirrored += mirrored
    assert 10 < n_mirrored < 30 if flips else n_mirrored == 0
    assert len({tuple(image.flatten().tolist()) for image in augmented(name, images[:1].expand(40, -1, -1, -1))}) > 5


def test_gaps_are_filled_with_the_mean() -> None:
    outcome = augmented("shift", torch.full((50, 8, 8, 1), 9, dtype=torch.uint8), fill=5)
    assert set(outcome.unique().tolist()) == {5, 9}


def test_cutout_blanks_a_square() -> None:
    outcome = augmented("crop_flip_cutout", torch.full((50, 16, 16, 3), 9, dtype=torch.uint8), fill=9)
    assert (outcome == 9).all()
    holes = (augmented("crop_flip_cutout", torch.ones((50, 16, 16, 3))) == 0).float().mean(dim=(1, 2, 3))
    assert holes.min() > 0.09 and holes.max() < 0.6


# --- loaders of the user's -------------------------------------------------------------------------------------------


@pytest.fixture
def user_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from raynas.data import loaders

    module = ModuleType("my_data")
    monkeypatch.setitem(sys.modules, "my_data", module)
    loaders._parts.cache_clear()
    return module


def pairs(n: int = 20, channels: int = 3) -> TensorDataset:
    images = torch.arange(n * channels * 64, dtype=torch.float32).view(n, channels, 8, 8)
    return TensorDataset(images, torch.arange(n) % 2)


def loader_batches(name: str = "my_data:make", **settings: Any) -> LoaderBatches:
    return LoaderBatches(loaders=Loaders.of(name), batch_size=8, device=CPU, **settings)


def test_datasets_become_loaders(user_module: ModuleType) -> None:
    user_module.make = lambda: (pairs(), pairs(6))  # type: ignore[attr-defined]
    batches = loader_batches()
    assert batches.loaders.input_shape == (3, 8, 8) and batches.loaders.n_classes is None
    assert [len(labels) for _, labels in batches.train(0)] == [8, 8] and batches.n_steps == 2
    assert [len(labels) for _, labels in batches.examine("valid")] == [6]


def test_shuffling_follows_torchs_generator(user_module: ModuleType) -> None:
    user_module.make = lambda: (pairs(), pairs())  # type: ignore[attr-defined]
    batches = loader_batches()

    def epoch(seed: int) -> list[float]:
        torch.manual_seed(seed)
        return [float(image.sum()) for images, _ in batches.train(0) for image in images]

    assert epoch(1) == epoch(1) != epoch(2)


def test_the_function_is_called_once_per_process(user_module: ModuleType) -> None:
    calls = []

    def make() -> tuple[TensorDataset, TensorDataset]:
        calls.append(1)
        return pairs(), pairs()

    user_module.make = make  # type: ignore[attr-defined]
    for _ in range(3):
        list(loader_batches().train(0))
    assert calls == [1]


def test_loaders_are_taken_as_they_are(user_module: ModuleType) -> None:
    user_module.make = lambda: [DataLoader(pairs(), 5), DataLoader(pairs(), 3)]  # type: ignore[attr-defined]
    batches = loader_batches(fraction=0.4, resolution=4)
    shapes = [tuple(images.shape) for images, _ in batches.train(0)]
    assert shapes == [(5, 3, 4, 4)] * 2
    assert sum(len(labels) for _, labels in batches.examine("valid")) == 20


def test_a_final_training_takes_both_if_there_is_a_test_split(user_module: ModuleType) -> None:
    user_module.make = lambda: (pairs(16), pairs(8), pairs(4))  # type: ignore[attr-defined]
    batches = loader_batches(everything=True)
    assert [len(labels) for _, labels in batches.train(0)] == [8, 8, 8] and batches.n_steps == 3
    assert [len(labels) for _, labels in batches.examine("test")] == [4]


def test_without_a_test_split_the_validation_split_is_examined(user_module: ModuleType) -> None:
    user_module.make = lambda: (pairs(16), pairs(6))  # type: ignore[attr-defined]
    batches = loader_batches(everything=True)
    assert batches.n_steps == 2
    assert [len(labels) for _, labels in batches.examine("test")] == [6]


class Stream(IterableDataset[tuple[Tensor, int]]):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return ((torch.zeros(1, 4, 4), i % 2) for i in range(20))


def test_a_stream_has_no_length(user_module: ModuleType) -> None:
    user_module.make = lambda: (Stream(), Stream())  # type: ignore[attr-defined]
    assert loader_batches().n_steps is None
    assert sum(len(labels) for _, labels in loader_batches().train(0)) == 20
    with pytest.raises(DataError, match="data_fraction needs a training loader with a length"):
        next(loader_batches(fraction=0.5).train(0))


WRONG = {
    "nothing": (lambda: None, "must return"),
    "one": (lambda: [pairs()], "a list of 1"),
    "numbers": (lambda: (1, 2), "train must be a loader or a dataset, got int"),
    "triples": (lambda: (DataLoader(TensorDataset(*[torch.zeros(4)] * 3)), pairs()), "must be a pair"),
    "dicts": (lambda: ([{"image": 1}], pairs()), "must be a pair .*got a dict"),
    "arrays": (lambda: ([(np.zeros(3), np.zeros(3))], pairs()), "must hold tensors, got a ndarray"),
    "float labels": (lambda: ([(torch.zeros(2, 1, 4, 4), torch.zeros(2))], pairs()), "one whole-number label"),
    "one-hot labels": (lambda: ([(torch.zeros(2, 4), torch.zeros(2, 3).long())], pairs()), r"shape \(2, 3\)"),
    "empty": (lambda: ([], pairs()), "the training loader is empty"),
    "raises": (lambda: 1 / 0, "my_data:make raised ZeroDivisionError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_loaders_gets_one_clear_line(name: str, user_module: ModuleType) -> None:
    user_module.make, expected = WRONG[name]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=expected) as caught:
        Loaders.of("my_data:make")
    assert "my_data:make" in str(caught.value) and "\n" not in str(caught.value)


def test_names_of_code_that_cannot_be_found(user_module: ModuleType, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data_dir": str(tmp_path), "image_size": 8, "valid_share": 0.2}
    with pytest.raises(RaynasError, match=r"cannot import 'nowhere.at_all:make': No module named 'nowhere'"):
        load_source("nowhere.at_all:make", **settings)
    with pytest.raises(RaynasError, match="module 'my_data' has no function 'none'"):
        load_source("my_data:none", **settings)
    with pytest.raises(RaynasError, match="is a str, not a function"):
        load_source("my_data:__name__", **settings)
    with pytest.raises(ValueError, match=r"named as package.module:function, got 'C:\\\\data'"):
        load_source("C:\\data", **settings)
    with pytest.raises(UnknownNameError):
        load_source("my_data", **settings)
