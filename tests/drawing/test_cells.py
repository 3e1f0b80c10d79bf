import numpy as np
import pytest

from raynas.drawing import Arrow, picture_of
from raynas.nn import ModelSpace
from raynas.search_spaces import NASBench201
from raynas.search_spaces.darts import DARTS
from raynas.search_spaces.nasnet import NASNet
from tests.drawing.legible import assert_legible


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("space", [DARTS(), NASNet(), NASBench201(), DARTS(n_nodes=7)], ids=lambda s: f"{s.name}")
def test_cells_are_legible(space: ModelSpace, seed: int) -> None:
    assert_legible(picture_of(space, space.sample(np.random.default_rng(seed))))


def test_nasbench201_shows_its_cell() -> None:
    space = NASBench201()
    arch = dict.fromkeys((d.name for d in space.decisions), "nor_conv_1x1") | {"edge_0_3": "none"}
    picture = picture_of(space, arch)
    assert [box.kind for box in picture.boxes] == ["input", "node", "node", "output"]
    assert Arrow("0", "3", "none", faint=True) in picture.arrows
    assert Arrow("1", "2", "nor_conv_1x1") in picture.arrows
    assert len(picture.arrows) == 6
