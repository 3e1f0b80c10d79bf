"""Choices in a model whose numbers come from numpy."""

import json

import numpy as np
import torch
from torch import nn

from raynas import Choice, ModelSpace, Repeat
from raynas.nn.elastic import Size
from raynas.nn.elastic_layers import ElasticLinear


def test_sizes_and_depths_of_numpy_are_plain_options() -> None:
    def model() -> nn.Module:
        return nn.Sequential(
            ElasticLinear(3, Size(list(2 ** np.arange(2, 5)))),
            Repeat(lambda i: nn.ReLU(), np.int64(1), np.int64(3)),
            Choice({"a": nn.ReLU, "b": nn.GELU}),
            ElasticLinear(16, 2),
        )

    space = ModelSpace(model, input_shape=(3,))
    for arch in space.enumerate():
        assert json.loads(arch.to_json()) == dict(arch) and {type(option) for option in arch.values()} <= {int, str}
        assert space.build(arch)(torch.zeros(1, 3)).shape == (1, 2)
