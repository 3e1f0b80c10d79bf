"""Sizes that the code of a model reads in an object of settings or a dict, which its blocks share."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.converting import convert
from raynas.nn.supernet import Supernet
from tests.converting.silencing import silenced

X = torch.rand(2, 5, 8, generator=torch.Generator().manual_seed(0))


@dataclass
class Settings:
    n_head: int = 4
    n_layer: int = 4
    width: int = 32
    hidden: int = 64


@dataclass(frozen=True)
class Frozen:
    n_head: int = 4
    n_layer: int = 4
    width: int = 32
    hidden: int = 64


class Global(Settings):
    """An object that copies of a model share."""

    def __deepcopy__(self, memo: dict[int, object]) -> "Global":
        return self


class Block(nn.Module):
    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.first, self.second = nn.Linear(32, 64), nn.Linear(64, 32)

    def setting(self, name: str) -> int:
        value: int = self.settings[name] if isinstance(self.settings, dict) else getattr(self.settings, name)
        return value

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        parts = (part.view(n, t, self.setting("n_head"), -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        x = x + self.out(functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(n, t, -1))
        hidden = self.first(x).relu().view(n, t, self.setting("hidden"))
        out: Tensor = x + self.second(hidden)
        return out


class Net(nn.Module):
    def __init__(self, settings: Any, n_blocks: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(8, 32), nn.Linear(32, 3)
        self.blocks = nn.Sequential(*(Block(settings) for _ in range(n_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.blocks(self.embed(x)))
        return y


@pytest.mark.parametrize("settings", [Settings(), Frozen(), vars(Settings())])
@pytest.mark.parametrize("n_blocks", [1, 2])
@torch.no_grad()
def test_blocks_with_the_same_settings_vary_together(settings: Any, n_blocks: int) -> None:
    torch.manual_seed(0)
    model = Net(settings, n_blocks).eval()
    space = convert(model, X)
    heads, hidden = "blocks.0.qkv.heads", "blocks.0.first.width"
    assert set(space.plan.widths) == {"embed.width", heads, hidden}
    assert len(space.groups[heads].tied) == len(space.groups[hidden].tied) == n_blocks - 1
    arch = space.canonical({**space.default, heads: 2, hidden: 32})
    expected = silenced(model, space, arch)(X)
    assert not torch.allclose(expected, model(X))
    member = space.build(arch).eval()
    torch.testing.assert_close(member(X), expected)
    torch.testing.assert_close(Supernet(space).eval()(X, arch), expected)
    block: Any = member.get_submodule("blocks.0")
    read = [block.setting(name) for name in ("n_head", "n_layer", "width", "hidden")]
    assert read == [2, 4, 32, 32]  # The number of layers only happens to be that of heads.
    given: Any = model.get_submodule("blocks.0")
    assert [given.setting("n_head"), given.setting("hidden")] == [4, 64]


def test_settings_that_a_copy_shares_stay() -> None:
    settings = Global()
    space = convert(Net(settings, 1), X)
    assert set(space.plan.widths) == {"embed.width"}
    assert (settings.n_head, settings.hidden) == (4, 64)
    assert {"blocks.0.qkv.heads", "blocks.0.first.width"} <= {each.name for each in space.fixed}
