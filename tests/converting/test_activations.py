"""Importance by activations: which channels are large where the next layer takes them in."""

import pytest
import torch
from torch import Tensor, nn

from raynas.converting import convert
from raynas.converting.activations import activation
from raynas.errors import SpaceError
from tests.converting.test_conversion import MODELS, converted


def test_channels_count_after_their_nonlinearity() -> None:
    """Those whose activations are large but negative give the next layer nothing."""
    model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 2))
    sizes = torch.tensor([1.0, -9, 2, -8, 3, -7, 4, -6])
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(sizes[:, None])
        model.get_parameter("0.bias").zero_()
    ones = torch.ones(2, 1)
    space = convert(model, ones, divisor=4, importance="activation", batches=[ones, 3 * ones])
    assert torch.equal(space.build({"0.width": 4})[0].weight[:, 0], torch.tensor([1.0, 2, 3, 4]))  # type: ignore[index]
    score = activation(model, [ones, 3 * ones])(space.groups["0.width"])
    torch.testing.assert_close(score, sizes.double().clamp_min(0) * 8 / 10 * 2)  # the mean of each batch is 1


class Heads(nn.Module):
    """Attention with four heads, whose values have different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.n_heads = 4
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        with torch.no_grad():
            scale = torch.tensor([1.0, 5, 0.1, 3]).repeat_interleave(4)
            self.v.weight.mul_(scale[:, None])
            self.v.bias.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).view(*x.shape[:2], self.n_heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return y


def test_heads_count_by_what_they_put_out() -> None:
    torch.manual_seed(0)
    model, x = Heads(), torch.randn(2, 5, 16)
    space = convert(model, x, importance="activation", batches=[torch.randn(7, 5, 16)])
    member = space.build(space.canonical({**space.default, "q.heads": 2}))
    expected = model.v.weight.view(4, 4, 16)[[1, 3]].reshape(8, 16)
    assert torch.equal(member.get_parameter("v.weight"), expected)


@pytest.mark.parametrize("name", MODELS)
def test_every_group_has_a_score(name: str) -> None:
    model, example, space = converted(name)
    score = activation(model, [example])
    for group in space.groups.values():
        values = score(group)
        assert values.shape == (group.size,) and bool((values >= 0).all()) and float(values.max()) > 0


def test_what_it_needs() -> None:
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.rand(2, 4)
    with pytest.raises(SpaceError, match="needs batches"):
        convert(model, x, importance="activation")
    with pytest.raises(SpaceError, match="at least one batch"):
        convert(model, x, importance="activation", batches=[])
    with pytest.raises(SpaceError, match="needs batches"):
        convert(model, x, batches=[x])
