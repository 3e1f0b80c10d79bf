from pathlib import Path

import numpy as np
import pytest

from raynas.drawing import draw, picture_of
from raynas.errors import SpaceError
from raynas.search_spaces import MLP, NASBench201
from raynas.search_spaces.darts import DARTS
from raynas.search_spaces.nasnet import NASNet


def test_a_space_draws_its_decisions(tmp_path: Path) -> None:
    space = MLP()
    arch = space.sample(np.random.default_rng(0))
    shown = "\n".join(box.shown for box in picture_of(space, arch).boxes)
    assert all(f"{name.split('.')[-1]} = {option}" in shown for name, option in arch.items())
    draw(space, arch, tmp_path / "mlp.svg")
    assert (tmp_path / "mlp.svg").stat().st_size > 1000


def test_a_space_refuses_to_draw_what_is_no_member(tmp_path: Path) -> None:
    for space in (MLP(), NASBench201(), DARTS(), NASNet()):
        with pytest.raises(SpaceError):
            draw(space, {}, tmp_path / "cell.svg")
