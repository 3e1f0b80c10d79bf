"""Workers that train together."""

import torch

from raynas.trials.workers import Workers


def test_one_worker_alone_changes_nothing() -> None:
    workers = Workers()
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    workers.average_gradients([parameter])
    workers.average([parameter.detach()])
    assert parameter.tolist() == [1, 1] and parameter.grad.tolist() == [3, 3]
