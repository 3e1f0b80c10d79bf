"""Optimizers and schedules by name."""

import pytest
import torch
from torch import nn

from raynas.trials import Training
from raynas.trials.optimizers import OPTIMIZERS, SCHEDULES


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_an_optimizer_has_the_hyperparameters_of_the_settings(name: str, kind: type[torch.optim.Optimizer]) -> None:
    settings = Training(optimizer=name, lr=0.02, momentum=0.8, weight_decay=0.01)
    optimizer = OPTIMIZERS[name](nn.Linear(2, 2), settings)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.01)
    assert group.get("momentum", 0.8) == 0.8 and group.get("betas", (0.8, 0.999)) == (0.8, 0.999)


def test_without_momentum_there_is_no_nesterov() -> None:
    (group,) = OPTIMIZERS["sgd"](nn.Linear(2, 2), Training(momentum=0.0)).param_groups
    assert group["nesterov"] is False


def test_nesterov_can_be_left_out() -> None:
    for chosen in (True, False):
        (group,) = OPTIMIZERS["sgd"](nn.Linear(2, 2), Training(nesterov=chosen)).param_groups
        assert group["nesterov"] is chosen


def test_schedules() -> None:
    assert [SCHEDULES["constant"](share) for share in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [SCHEDULES["cosine"](share) for share in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
