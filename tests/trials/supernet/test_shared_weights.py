"""Supernets on shared arrays."""

import numpy as np
import pytest
import torch

from raynas.errors import RaynasError
from raynas.nn import Supernet
from raynas.nn.batch_statistics import recalibrate
from raynas.search_spaces import NASBench201
from raynas.trials.supernet.shared_weights import supernet_on
from tests.trials.supernet.small import SPACE


def test_shared_weights_are_not_copied_and_never_written_to() -> None:
    supernet = Supernet(SPACE)
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in supernet.state_dict().items()}
    for array in arrays.values():
        array.flags.writeable = False
    shared = supernet_on(SPACE, arrays)
    for name, parameter in shared.named_parameters():
        assert parameter.data_ptr() == arrays[name].__array_interface__["data"][0], name
    subnet = shared.extract(SPACE.sample(np.random.default_rng(0)), copy_weights=False)
    own = {id(p) for p in shared.parameters()}
    assert all(id(p) in own for p in subnet.parameters())
    before = {name: array.copy() for name, array in arrays.items()}
    recalibrate(subnet, [torch.randn(8, 1, 8, 8)])
    assert all(np.array_equal(before[name], array) for name, array in arrays.items())


def test_weights_of_another_supernet() -> None:
    arrays = {name: tensor.numpy() for name, tensor in Supernet(SPACE).state_dict().items()}
    with pytest.raises(RaynasError, match="not those of a supernet"):
        supernet_on(NASBench201(channels=8, cells=1, input_shape=(1, 8, 8)), arrays)
