"""Shares of batches for workers that train together."""

from collections.abc import Iterator
from typing import Any

import torch

from raynas.data.batches import Batch, Batches


class One(Batches):
    def __init__(self, *batch: Any) -> None:
        self.batch = batch

    @property
    def n_steps(self) -> int:
        return 1

    def train(self, seed: int) -> Iterator[Batch]:
        yield self.batch[0], self.batch[1]

    def examine(self, part: str) -> Iterator[Batch]:
        return self.train(0)


def share(rank: int, n: int, *batch: Any) -> Any:
    return next(One(*batch).share(rank, n).train(0))


def test_shares_are_equally_large() -> None:
    shares = [share(rank, 3, torch.arange(7.0), torch.arange(7))[1].tolist() for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2, 5]], "the seventh is left out"


def test_one_worker_alone_takes_all_and_so_does_an_examination() -> None:
    batches = One(torch.arange(7.0), torch.arange(7))
    assert batches.share(0, 1) is batches
    assert len(next(batches.share(1, 2).examine("valid"))[0]) == 7 and batches.share(1, 2).n_steps == 1


def test_batches_of_any_structure() -> None:
    ids, whole = torch.arange(6), {"x": torch.arange(6), "n": 3}
    batch = ({"ids": ids, "length": torch.tensor(4)}, (whole, None))
    for rank, expected in enumerate(([0, 2, 4], [1, 3, 5])):
        inputs, targets = share(rank, 2, *batch)
        assert inputs["ids"].tolist() == expected and int(inputs["length"]) == 4
        assert targets[0]["x"].tolist() == expected and targets[0]["n"] == 3 and targets[1] is None
    assert share(0, 2, ids, None)[1] is None
