"""Loaders of the user's own."""

import random
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from raynas.core.inputs import Arguments, Inputs, TensorSpec, describe
from raynas.data import loaders
from raynas.data.loaders import LoaderBatches, Loaders
from raynas.errors import DataError
from raynas.isolation import seed_generators

CPU = torch.device("cpu")


def pairs(n: int = 20, channels: int = 3) -> TensorDataset:
    images = torch.arange(n * channels * 64, dtype=torch.float32).view(n, channels, 8, 8)
    return TensorDataset(images, torch.arange(n) % 2)


def loader_batches(**changes: Any) -> LoaderBatches:
    return replace(Loaders.of("my_data:make"), **changes).batches(batch_size=8, augment="none", device=CPU)


def test_a_random_split_is_the_same_in_each_process(user_module: ModuleType) -> None:
    """Else the workers of a trial would train on examples that others validate on."""
    drawn: list[tuple[float, float, float]] = []

    def make() -> tuple[TensorDataset, TensorDataset]:
        drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))
        return pairs(), pairs()

    user_module.make = make  # type: ignore[attr-defined]
    before = torch.get_rng_state()
    Loaders.of("my_data:make")
    assert torch.equal(torch.get_rng_state(), before)
    seed_generators(1)  # as another process may have
    loaders._parts.cache_clear()
    Loaders.of("my_data:make")
    assert len(drawn) == 2 and drawn[0] == drawn[1]


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
    "few labels": (lambda: ([((torch.zeros(2, 4), torch.zeros(2)), torch.zeros(3).long())], pairs()), "one whole-num"),
    "empty": (lambda: ([], pairs()), "the training loader is empty"),
    "raises": (lambda: 1 / 0, "my_data:make raised ZeroDivisionError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_loaders_gets_one_clear_line(name: str, user_module: ModuleType) -> None:
    user_module.make, expected = WRONG[name]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=expected) as caught:
        Loaders.of("my_data:make")
    assert "my_data:make" in str(caught.value) and "\n" not in str(caught.value)


def texts(n: int = 6, length: int = 5) -> TensorDataset:
    ids = torch.arange(n * length).view(n, length)
    return TensorDataset(ids, torch.arange(n) % 2)


class Pairs(Dataset[object]):
    """Examples of two inputs by name, of which the mask is bool."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> object:
        return {"mask": torch.ones(3, dtype=torch.bool), "image": torch.zeros(1, 4, 4, dtype=torch.float64)}, i % 2


def test_inputs_have_the_types_that_networks_take(user_module: ModuleType) -> None:
    user_module.make = lambda: (texts(), texts())  # type: ignore[attr-defined]
    source = Loaders.of("my_data:make")
    assert source.inputs == TensorSpec((5,), torch.int64) and source.input_shape == (5,)
    for dtypes, expected in (((), torch.float32), ((torch.int64,), torch.int64)):
        batches = source.for_inputs(dtypes).batches(batch_size=3, augment="none", device=CPU)
        assert [inputs.dtype for inputs, _ in batches.examine("valid")] == [expected]


def test_inputs_of_any_structure(user_module: ModuleType) -> None:
    user_module.make = lambda: (Pairs(), Pairs())  # type: ignore[attr-defined]
    source = Loaders.of("my_data:make")
    assert describe(source.inputs) == "image=float64 (1, 4, 4), mask=bool (3,)" and source.input_shape == ()
    batches = source.for_inputs([torch.float32, torch.bool]).batches(batch_size=3, augment="none", device=CPU)
    inputs, labels = next(iter(batches.train(0)))
    assert inputs["image"].dtype is torch.float32 and inputs["mask"].dtype is torch.bool and len(labels) == 3


def fits(inputs: Inputs) -> bool:
    return all(tensor.shape[1:] == (1, 4, 4) for tensor in Arguments.of(inputs).tensors)


def labelled(*labels: int, side: int = 4) -> list[object]:
    return [(torch.zeros(1, 1, side, side), torch.tensor([label])) for label in labels]


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        (
            labelled(0, 1),
            labelled(0, side=5),
            r"of valid holds float32 \(1, 5, 5\) for each example.*\(1, 4, 4\)",
        ),
        (labelled(0, 1, 2), labelled(0), r"a batch of train holds label 2, but labels of 2 classes must be 0 to 1"),
        (labelled(0, 1), labelled(0, -1), r"a batch of valid holds label -1, but labels of 2 classes must be 0 to 1"),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    user_module: ModuleType, train: object, valid: object, message: str
) -> None:
    user_module.make = lambda: (train, valid)  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=message):
        Loaders.of("my_data:make").check(fits, 2)


def test_looking_at_loaders_takes_a_bounded_time_and_no_random_numbers(
    user_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "CHECK_SECONDS", -1.0)
    user_module.make = lambda: (labelled(0, 5), labelled(1, 7))  # type: ignore[attr-defined]
    before = torch.get_rng_state()
    Loaders.of("my_data:make").check(fits, 2)
    assert torch.equal(torch.get_rng_state(), before), "the first batch of each was looked at, and is right"
