"""Models that fix the size of their images: no resolution varies, and the reason is said."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.converting import Resolution, convert
from raynas.errors import SpaceError

X = torch.rand(2, 3, 16, 16)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.more = nn.Conv2d(8, 8, 1)
        self.positions = nn.Parameter(torch.randn(1, 16, 8))
        self.table = nn.Embedding(16, 8)
        self.head = nn.Linear(8, 4)


class Flattens(Net):
    """Merges examples where images are smaller: half the side gives 2 examples for 8 rows of 4 times the features."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.conv(x).relu().reshape(-1, 8 * 16))
        return y


class Merges(Flattens):
    """As ``Flattens``, but with an output that hides it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(0)


class CutsParameter(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).flatten(2).transpose(1, 2)
        out: Tensor = self.head((y + self.positions[:, : y.shape[1]]).relu().mean(1))
        return out


class LooksUp(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).flatten(2).transpose(1, 2)
        out: Tensor = self.head((y + self.table(torch.arange(y.shape[1]))).relu().mean(1))
        return out


class Interpolates(Net):
    """Resizes its table itself, as it was meant to."""

    def forward(self, x: Tensor) -> Tensor:
        y, table = self.conv(x), self.positions.transpose(1, 2).unflatten(2, (4, 4))
        if y.shape[2:] != table.shape[2:]:
            table = functional.interpolate(table, y.shape[2:], mode="bilinear")
        out: Tensor = self.head((y + table).relu().mean((2, 3)))
        return out


class Segments(Net):
    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(self.conv(x), x.shape[2:])


class Skips(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        out: Tensor = self.head((self.more(y) if y.shape[-1] >= 4 else y).relu().mean((2, 3)))
        return out


class Auxiliary(Net):
    """Has a head that runs in training alone and fixes the size."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).relu()
        out: Tensor = self.head(y.mean((2, 3)))
        return out + self.auxiliary(y.mean(1).flatten(1)) if self.training else out


@pytest.mark.parametrize(
    ("model", "batch", "reason"),
    [
        (Flattens, 2, "its code does not allow it .*invalid for input of size"),
        (Flattens, 4, r"its output would be of shape \(1, 4\) instead of \(4, 4\)"),
        (Merges, 4, r"weights go with its positions, or examples with each other"),
        (CutsParameter, 2, "it would read other parts of positions"),
        (LooksUp, 2, "it would read other parts of table.weight"),
        (Segments, 2, r"its output would be of shape \(2, 8, 8, 8\) instead of \(2, 8, 16, 16\)"),
        (Skips, 2, "it would compute with other layers"),
        (Auxiliary, 2, "it could not be trained"),
    ],
)
def test_the_reason_is_said(model: type[Net], batch: int, reason: str) -> None:
    with pytest.raises(SpaceError, match=f"{model.__name__} cannot compute with 'x' at 8 pixels: {reason}"):
        convert(model(), torch.rand(batch, 3, 16, 16), vary={"input": Resolution(8)})


def test_a_table_that_the_model_resizes_is_no_obstacle() -> None:
    space = convert(Interpolates(), X, vary={"input": Resolution(8)})
    assert [list(decision.options) for decision in space.decisions] == [[16, 8]]


def test_each_resolution_is_tried() -> None:
    with pytest.raises(SpaceError, match="at 3 pixels"):
        convert(Interpolates(), X, vary={"input": Resolution(3, 8)})
