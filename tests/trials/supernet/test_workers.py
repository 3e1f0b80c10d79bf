"""Workers that share batches."""

import torch

from raynas.trials.supernet.workers import Workers


def test_shares_of_a_batch() -> None:
    batch = torch.arange(7.0), torch.arange(7)
    shares = [Workers(rank, 3).share(batch)[1].tolist() for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2, 5]]  # all alike, the seventh is left out


def test_one_worker_alone_changes_nothing() -> None:
    batch = torch.arange(7.0), torch.arange(7)
    workers = Workers()
    assert all(torch.equal(a, b) for a, b in zip(workers.share(batch), batch, strict=True))
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    workers.average_gradients([parameter])
    workers.average([parameter.detach()])
    assert parameter.tolist() == [1, 1] and parameter.grad.tolist() == [3, 3]
