"""Halves and shares of loaders."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

from raynas.data.batches import Batch
from raynas.data.loaders import Loaders
from raynas.errors import DataError

CPU = torch.device("cpu")
N = 22


class Numbers(Dataset[Any]):
    """Examples whose label is their number; remembers which ones were read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.read.append(index)
        return torch.full((1,), float(index)), index


class NumberStream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return ((torch.full((1,), float(i)), i) for i in range(N))


Make = Callable[[Numbers], Any]

WITH_INDICES: dict[str, Make] = {
    "dataset": lambda numbers: numbers,
    "loader": lambda numbers: DataLoader(numbers, 4, shuffle=True, drop_last=True),
    "ordered loader": lambda numbers: DataLoader(numbers, 4),
    "workers": lambda numbers: DataLoader(numbers, 4, shuffle=True, num_workers=1),
}
OTHERS: dict[str, Make] = {
    "weights": lambda numbers: DataLoader(numbers, 4, sampler=WeightedRandomSampler([1.0] * N, N)),
    "batches": lambda numbers: DataLoader(numbers, batch_sampler=OddBatches(range(N), 4, False)),
    "stream": lambda numbers: NumberStream(),
    "loader of a stream": lambda numbers: DataLoader(NumberStream(), 4),
    "list": lambda numbers: list(DataLoader(numbers, 4)),
}


class OddBatches(BatchSampler):
    """A sampler of the user's."""


def made(module: ModuleType, make: Make) -> Loaders:
    module.numbers = Numbers()  # type: ignore[attr-defined]
    module.make = lambda: (make(module.numbers), TensorDataset(torch.zeros(3, 1), torch.zeros(3).long()))  # type: ignore[attr-defined]
    return Loaders.of("my_data:make")


def labels_of(batches: Iterator[Batch]) -> list[int]:
    torch.manual_seed(0)
    return [int(label) for _, labels in batches for label in labels]


@pytest.mark.parametrize("make", WITH_INDICES.values(), ids=WITH_INDICES)
def test_halves_share_nothing(make: Make, user_module: ModuleType) -> None:
    halves = [half.batches(batch_size=2, augment="none", device=CPU) for half in made(user_module, make).halves()]
    shown = [set(labels_of(half.train(0))) for half in halves]
    assert not shown[0] & shown[1] and all(len(labels) >= 8 for labels in shown)
    assert len(labels_of(halves[0].examine("valid"))) == 3
    held_out = labels_of(halves[1].examine("valid"))
    assert shown[1] <= set(held_out) and not shown[0] & set(held_out)
    assert [half.n_steps for half in halves] == [len(list(half.train(0))) for half in halves]
    assert shown[0] != set(range(11)), "they are drawn at random"


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_loaders_that_cannot_be_halved(make: Make, user_module: ModuleType) -> None:
    with pytest.raises(DataError, match=r"my_data:make cannot be halved.* because it is .*: return") as caught:
        made(user_module, make).halves()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [*WITH_INDICES.values(), *OTHERS.values()], ids=[*WITH_INDICES, *OTHERS])
def test_shares_are_parts_of_the_same_batches(make: Make, user_module: ModuleType) -> None:
    batches = made(user_module, make).batches(batch_size=4, augment="none", device=CPU)
    torch.manual_seed(0)
    whole = [labels.tolist() for _, labels in batches.train(0)]
    for rank in range(3):
        torch.manual_seed(0)
        share = [labels.tolist() for _, labels in batches.share(rank, 3).train(0)]
        assert share == [[batch[rank]] for batch in whole if len(batch) > 2], "what is too small is left out by all"


@pytest.mark.parametrize("name", ["dataset", "loader", "ordered loader"])
def test_a_worker_loads_its_share_alone(name: str, user_module: ModuleType) -> None:
    batches = made(user_module, WITH_INDICES[name]).batches(batch_size=4, augment="none", device=CPU).share(1, 4)
    user_module.numbers.read.clear()
    shown = labels_of(batches.train(0))
    assert user_module.numbers.read == shown and len(shown) == 5
