"""A network that was given, measured as those of a space."""

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Decision
from raynas.core.inputs import InputSpec, TensorSpec
from raynas.core.one_network import GIVEN, OneNetwork
from raynas.core.space import SearchSpace
from raynas.metrics import Measurer, metrics_named
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


class Tokens(SearchSpace):
    """Takes six token ids and a mask."""

    input_shape = ()

    @property
    def inputs(self) -> InputSpec:
        return {"ids": TensorSpec((6,), torch.long, high=11), "mask": TensorSpec((6,), torch.bool)}

    @property
    def decisions(self) -> list[Decision]:
        return []

    def build(self, arch: Architecture) -> nn.Module:
        raise AssertionError("only the network that was given is measured")


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(11, 4), nn.Linear(4, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.head((self.table(ids) * mask[..., None]).mean(1))  # type: ignore[no-any-return]


def test_it_takes_the_inputs_of_the_space() -> None:
    values = Measurer(OneNetwork(Words(), Tokens())).values(metrics_named(["params", "macs", "latency_ms"]), GIVEN)
    assert (values["params"], values["macs"]) == (44 + 10, 10) and values["latency_ms"] > 0
