"""The watch's warning, without a supernet."""

import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.nn import Choice, ModelSpace, Supernet
from raynas.oneshot.differentiable import (
    Watch,
)
from raynas.oneshot.differentiable.stopping import Point
from raynas.oneshot.differentiable.watch import accuracies


class TestWatch:
    def test_warns_of_skips_and_of_eigenvalues(self) -> None:
        watch = Watch()

        def seen(share: float, eigenvalue: float) -> Point:
            metrics = {"skip_share": share, "dominant_eigenvalue": eigenvalue}
            return Point(epoch=7, derived=Architecture({}), metrics=metrics)

        assert watch.warning([seen(0.4, 0.1), seen(0.5, 0.29)], 0.5) == ""
        assert watch.warning([seen(0.9, 0.1)], 0.1) == ""
        skips = watch.warning([seen(0.6, 0.1)], 0.5)
        assert "60%" in skips and "epoch 7" in skips and "robust_darts" in skips and "\n" not in skips
        assert "from 0.1 to 0.4" in watch.warning([seen(0.0, 0.1), seen(0.0, 0.4)], 0.5)

    def test_refuses(self) -> None:
        for settings in ({"gap_batches": -1}, {"n_iterations": 0}, {"warn_ratio": 1.0}, {"start": 1.0}):
            with pytest.raises(ValueError, match=r"must not be negative|need warn_skips"):
                Watch(**settings)


def test_a_rest_of_one_example_does_not_count_where_batch_norm_cannot_take_it() -> None:
    space = ModelSpace(
        lambda: nn.Sequential(nn.Linear(3, 2), Choice({"norm": lambda: nn.BatchNorm1d(2), "skip": nn.Identity})),
        input_shape=(3,),
    )
    torch.manual_seed(0)
    supernet, x = Supernet(space), torch.randn(5, 3)
    batches = [(x[:4], torch.zeros(4).long()), (x[4:], torch.zeros(1).long())]
    selections = {"norm": {"1": "norm"}, "skip": {"1": "skip"}}
    assert accuracies(supernet, selections, batches) == accuracies(supernet, selections, batches[:1])
    assert accuracies(supernet, {"skip": {"1": "skip"}}, batches[1:])["skip"] in (0, 1), "unless there is no other"
