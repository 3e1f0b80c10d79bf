"""Every space of the catalogue keeps the contract, made small so that its networks are quick to run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from raynas.core.space import SearchSpace
from raynas.search_spaces import SEARCH_SPACES
from raynas.testing import SpaceContract

SMALL: Mapping[str, Mapping[str, Any]] = {
    "darts": {"channels": 4, "cells": 3, "n_nodes": 2},
    "efficientnet": {"width": 0.1, "divisor": 2, "step": 0.2, "tolerance": 0.3},
    "hierarchical": {"channels": 2, "n_motifs": 2, "motif_nodes": 3, "cell_nodes": 3},
    "mobilenetv3": {
        "channels": (4, 4, 4, 8, 8, 8),
        "head_channels": (8, 8),
        "divisor": 4,
        "widths": (0.5, 1.0),
        "depths": (1, 2),
        "search_squeeze_excite": True,
        "search_activation": True,
    },
    "nasbench201": {"channels": 4, "cells": 1},
    "nasbench_macro": {"channels": 2, "head_channels": 4},
    "nasnet": {"channels": 2, "cells": 1, "n_blocks": 2},
    "resnet": {
        "widths": (0.5, 1.0),
        "depths": ((1, 2), (1, 1), (1, 3), (1, 2)),
        "expansions": (0.25, 0.5),
        "channels": 4,
        "divisor": 2,
    },
    "shufflenet": {"stem_channels": 2, "channels": (4, 6, 8, 10), "head_channels": 4},
    "tree": {"growth": 6, "depth": 2},
}
"""Sizes at which the spaces are tested; those that are not here are small by default."""


class TestCatalogue(SpaceContract):
    @pytest.fixture(params=sorted(SEARCH_SPACES))
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        name: str = request.param
        return SEARCH_SPACES[name](input_shape=(1, 8, 8), **SMALL.get(name, {}))  # type: ignore[call-arg]


@pytest.mark.parametrize("name", sorted(SEARCH_SPACES))
def test_defaults_make_a_space(name: str) -> None:
    space = SEARCH_SPACES[name]()
    with torch.device("meta"), torch.no_grad():
        network = space.build(space.sample(np.random.default_rng(0))).eval()
        assert network(space.example_input(2, "meta")).shape[0] == 2
