"""Stages of a search, and the optimizer across them."""

import math

import pytest
import torch
from torch import nn

from raynas.errors import RaynasError
from raynas.oneshot.differentiable import (
    Stage,
)
from raynas.oneshot.differentiable.stages import stage_starts, swap_parameters


class TestStages:
    def test_starts(self) -> None:
        assert stage_starts([Stage()], 10) == [0, 10]
        assert stage_starts([Stage(), Stage(), Stage()], 75) == [0, 25, 50, 75]
        assert stage_starts([Stage(share=0.01), Stage(share=9), Stage(share=0.01)], 3) == [0, 1, 2, 3]
        with pytest.raises(RaynasError, match="2 stages need"):
            stage_starts([Stage(), Stage()], 1)

    def test_dropout_falls(self) -> None:
        stage = Stage(skip_dropout=0.5)
        rates = [stage.dropout_at(p / 10, 0.4) for p in range(11)]
        assert rates[0] == 0.5 and rates[2] == pytest.approx(0.4) and rates[4] == 0.5
        assert rates[6] == pytest.approx(0.5 * math.exp(-1)) and rates[10] < rates[8] < rates[6]

    def test_refuses(self) -> None:
        for settings, match in (({"share": 0}, "share"), ({"keep": 1}, "keep"), ({"skip_dropout": 1.0}, "dropout")):
            with pytest.raises(ValueError, match=match):
                Stage(**settings)

    def test_swapping_parameters_forgets_the_old_ones(self) -> None:
        old, new = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([old], lr=0.1, momentum=0.9)
        old.sum().backward()
        optimizer.step()
        swap_parameters(optimizer, [new])
        new.sum().backward()
        optimizer.step()
        assert new.tolist() == pytest.approx([0.9] * 3) and list(optimizer.state) == [new]
        optimizer.add_param_group({"params": [old]})
        with pytest.raises(RaynasError, match="one group"):
            swap_parameters(optimizer, [old])
