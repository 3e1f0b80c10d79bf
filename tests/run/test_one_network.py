"""A network that was given, measured as those of a space."""

import torch
from torch import nn

from raynas.metrics import Measurer, metrics_named
from raynas.run.one_network import GIVEN, OneNetwork
from tests.run.widths import SPACE

NETWORK = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 3))


def test_it_is_counted_and_timed_and_stays_as_it_was() -> None:
    before = {name: tensor.clone() for name, tensor in NETWORK.state_dict().items()}
    space = OneNetwork(NETWORK.train(), SPACE)
    values = Measurer(space).values(metrics_named(["params", "macs", "latency_ms"]), GIVEN)
    assert (values["params"], values["macs"]) == (4 * 7 + 7 + 7 * 3 + 3, 4 * 7 + 7 + 7 * 3 + 3)
    assert values["latency_ms"] > 0
    assert NETWORK.training and all(not tensor.is_meta for tensor in NETWORK.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in NETWORK.state_dict().items())
