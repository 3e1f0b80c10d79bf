"""A layer is named for what it puts out; what it only reads is named by others."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from raynas.converting import Width, convert
from raynas.errors import SpaceError

ALL = {"stem.width", "twice.up.width", "rnn.width", "embed.width"}


class Inverted(nn.Module):
    """Its output has the width of its input."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(n, 24), nn.Linear(24, n)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.down(self.up(x).relu())
        return y


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.stem = nn.Embedding(7, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 40)
        self.twice, self.head = Inverted(40), nn.Linear(40, 1)

    def forward(self, ids: Tensor) -> Tensor:
        y: Tensor = self.head(self.twice(self.stem(self.rnn(self.embed(ids))[0][:, -1])))
        return y


def varying(**wanted: Sequence[str] | dict[str, Width]) -> set[str]:
    space = convert(Net(), torch.randint(7, (2, 3)), **wanted)  # type: ignore[arg-type]
    return {decision.name for decision in space.decisions}


@pytest.mark.parametrize(
    ("kept", "names"),
    [
        ("head", set()),
        ("stem", {"stem.width"}),
        ("rnn", {"rnn.width"}),
        ("embed", {"embed.width"}),
        ("twice.up", {"twice.up.width"}),
        ("twice.down", {"stem.width"}),
        ("twice", {"stem.width", "twice.up.width"}),
    ],
)
def test_a_kept_layer_keeps_its_output(kept: str, names: set[str]) -> None:
    assert varying(keep=[kept]) == ALL - names
    assert varying(vary={kept: Width(0.5), "embed": Width(0.5)}) == names | {"embed.width"}


def test_a_layer_that_only_reads_has_nothing_to_vary() -> None:
    with pytest.raises(SpaceError, match="nothing in Net can vary"):
        varying(vary={"head": Width(0.5)})


class Twice(nn.Module):
    """A layer reads the output of another, and then its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.c(self.b(self.b(self.a(x)))))
        return y


def test_a_layer_that_runs_twice_puts_out_what_it_reads() -> None:
    decisions = convert(Twice(), torch.rand(2, 4), keep=["b"]).decisions
    assert [decision.name for decision in decisions] == ["c.width"]
