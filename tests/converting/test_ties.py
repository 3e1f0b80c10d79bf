"""Attention that computes the width of its heads from the residual width and the number of heads."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.converting import ConvertedSpace, Width, convert
from raynas.nn.supernet import Supernet
from tests.converting.silencing import silenced

IDS = torch.randint(11, (2, 6), generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class CausalAttention(nn.Module):
    """As in nanoGPT."""

    def __init__(self, width: int, n_head: int) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.n_head, self.n_embd = n_head, width

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (
            part.view(n, t, self.n_head, c // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(self.n_embd, dim=2)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        z: Tensor = self.c_proj(y.transpose(1, 2).contiguous().view(n, t, c))
        return z


class ConstantHeads(CausalAttention):
    """The number of heads is a constant of the code."""

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (part.view(n, t, 4, c // 4).transpose(1, 2) for part in self.c_attn(x).split(self.n_embd, dim=2))
        y = functional.scaled_dot_product_attention(q, k, v)
        z: Tensor = self.c_proj(y.transpose(1, 2).contiguous().view(n, t, c))
        return z


class Strict(CausalAttention):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 32:
            raise ValueError("32 channels are needed")
        return super().forward(x)


class Language(nn.Module):
    def __init__(self, heads: tuple[int, ...] = (4, 4), attention: type[CausalAttention] = CausalAttention) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 32), nn.Linear(32, 11, bias=False)
        self.layers = nn.ModuleList(attention(32, n) for n in heads)
        self.hidden = nn.Sequential(nn.Linear(32, 24), nn.GELU(), nn.Linear(24, 32))
        self.embed.weight = self.head.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer(x)
        y: Tensor = self.head(x + self.hidden(x))
        return y


class WindowAttention(nn.Module):
    """As in Swin: windows, whose side is the number of heads here, and a bias for each head and pair of positions."""

    index: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.proj, self.window, self.num_heads = (
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            4,
            heads,
        )
        self.bias = nn.Parameter(torch.rand(49, heads))
        at = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        self.register_buffer("index", ((at[:, :, None] - at[:, None] + 3) * torch.tensor([7, 1])[:, None, None]).sum(0))

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        s, heads = self.window, self.num_heads
        x = x.view(n, h // s, s, w // s, s, c).transpose(2, 3).reshape(-1, s * s, c)
        q, k, v = self.qkv(x).reshape(len(x), s * s, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        scores = q * (c // heads) ** -0.5 @ k.transpose(-2, -1)
        bias = self.bias[self.index.flatten()].view(s * s, s * s, -1).permute(2, 0, 1)
        y = (functional.softmax(scores + bias, dim=-1) @ v).transpose(1, 2).reshape(len(x), s * s, c)
        z: Tensor = self.proj(y).view(n, h // s, w // s, s, s, c).transpose(2, 3).reshape(n, h, w, c)
        return z


class Windows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.reduce, self.head = nn.Linear(3, 16), nn.Linear(64, 32), nn.Linear(32, 5)
        self.first, self.second = WindowAttention(16, 4), WindowAttention(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.permute(0, 2, 3, 1))
        x = x + self.first(x)
        x = self.reduce(torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1))
        y: Tensor = self.head((x + self.second(x)).mean((1, 2)))
        return y


@pytest.mark.parametrize(
    ("make", "example", "widths"),
    [
        (Language, IDS, {"layers.0.c_proj.width": (32, 24, 16)}),
        (lambda: Language((4, 2)), IDS, {"layers.0.c_proj.width": (32, 16)}),
        (Windows, IMAGES, {"stem.width": (16, 12, 8), "reduce.width": (32, 24, 16)}),
    ],
)
@torch.no_grad()
def test_the_residual_width_varies_with_the_number_of_heads(
    make: Callable[[], nn.Module], example: Tensor, widths: dict[str, tuple[int, ...]]
) -> None:
    """A member is the given model with silent channels and heads, and what the supernet computes."""
    torch.manual_seed(0)
    model = make().eval()
    space = convert(model, example)
    found = {name: tuple(options) for name, options in space.plan.widths.items() if space.groups[name].tied}
    assert found == widths
    assert not any(name.endswith("heads") for name in space.plan.widths)
    torch.testing.assert_close(space.build(space.default).eval()(example), model(example), rtol=0, atol=0)
    arch = space.canonical({**space.default, **{name: min(options) for name, options in widths.items()}})
    expected = silenced(model, space, arch)(example)
    assert not torch.allclose(expected, model(example))
    torch.testing.assert_close(space.build(arch).eval()(example), expected)
    supernet = Supernet(space).eval()
    torch.testing.assert_close(supernet(example, arch), expected)
    assert torch.equal(supernet.extract(arch).eval()(example), supernet(example, arch))


class GroupedQueries(nn.Module):
    """Queries share keys and values, and the width of a head is computed.

    Args:
        how: keys are repeated by a view, by indices, or inside of the attention.
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.n_head, self.n_kv = how, 8, 4
        self.embed, self.q, self.kv, self.out = nn.Embedding(11, 64), *(nn.Linear(64, 64) for _ in range(3))
        self.head = nn.Linear(64, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        n, t, c = x.shape
        width, shared = c // self.n_head, self.n_head // self.n_kv
        q = self.q(x).view(n, t, self.n_head, width).transpose(1, 2)
        k, v = (part.view(n, t, self.n_kv, width).transpose(1, 2) for part in self.kv(x).chunk(2, -1))
        if self.how == "view":
            k, v = (each[:, :, None].expand(-1, -1, shared, -1, -1).reshape(n, -1, t, width) for each in (k, v))
        elif self.how == "indices":
            k, v = (each.repeat_interleave(shared, 1) for each in (k, v))
        y = functional.scaled_dot_product_attention(q, k, v, enable_gqa=self.how == "attention")
        z: Tensor = self.head(x + self.out(y.transpose(1, 2).reshape(n, t, c)))
        return z


@pytest.mark.parametrize("how", ["view", "indices", "attention"])
@torch.no_grad()
def test_heads_that_share_keys_vary_with_the_residual_width(how: str) -> None:
    torch.manual_seed(0)
    model = GroupedQueries(how).eval()
    space = convert(model, IDS)
    assert {name: list(options) for name, options in space.plan.widths.items()} == {"out.width": [64, 48, 32]}
    arch = space.canonical({"out.width": 48})
    member: Any = space.build(arch).eval()
    assert (member.n_head, member.n_kv, member.kv.weight.shape) == (6, 3, (48, 48))
    torch.testing.assert_close(member(IDS), silenced(model, space, arch)(IDS))
    torch.testing.assert_close(Supernet(space).eval()(IDS, arch), member(IDS))


def test_members_have_the_numbers_of_their_weights() -> None:
    """The side of a window, which is the number of heads too, stays."""
    space = convert(Windows(), IMAGES)
    member: Any = space.build({**space.default, "reduce.width": 16})
    assert [(each.num_heads, each.window) for each in (member.first, member.second)] == [(4, 4), (2, 4)]
    language = convert(Language(), IDS)
    attention: Any = language.build({**language.default, "layers.0.c_proj.width": 24}).get_submodule("layers.1")
    assert (attention.n_head, attention.n_embd, attention.c_attn.weight.shape) == (3, 24, (72, 24))


def test_heads_narrow_where_their_number_is_a_constant() -> None:
    space = convert(Language(attention=ConstantHeads), IDS)
    group = space.groups["layers.0.c_proj.width"]
    assert [each.name for each in group.tied] == ["layers.0.c_attn.head_width", "layers.1.c_attn.head_width"]
    assert list(space.plan.widths[group.name]) == [32, 24, 16]
    member = space.build({**space.default, group.name: 16})
    assert member.get_parameter("layers.0.c_attn.weight").shape == (48, 16)


def test_heads_narrow_where_their_number_is_kept() -> None:
    space = convert(Language(), IDS, keep=["*.heads"])
    member: Any = space.build({**space.default, "layers.0.c_proj.width": 16})
    assert [(each.n_head, each.n_embd) for each in member.layers] == [(4, 16), (4, 16)]
    assert not any(each.layers[0].startswith("layers.0.") for each in space.fixed)


def test_the_table_names_what_is_tied() -> None:
    names = "layers.0.c_attn.heads, layers.1.c_attn.heads"
    assert f"tied: layers.0.c_proj.width varies with {names}, in a fixed ratio" in convert(Language(), IDS).summary()


def test_heads_or_the_width_choose_the_options() -> None:
    for pattern in ("layers.1.c_attn.heads", "layers.0.c_proj.width"):
        space = convert(Language(), IDS, vary={pattern: Width(0.25)})
        assert {decision.name: decision.options for decision in space.decisions} == {"layers.0.c_proj.width": (32, 8)}


def test_the_reason_why_heads_stay_with_a_width_that_is_kept() -> None:
    space = convert(Language(), IDS, keep=["embed"])
    reasons = {each.name: each.reason for each in space.fixed}
    expected = "the width of heads is computed from layers.0.c_proj.width and their number: they vary only together"
    assert reasons["layers.1.c_attn.heads"] == expected
    assert set(space.plan.widths) == {"hidden.0.width"}


def test_the_reason_of_what_does_not_vary_together_either() -> None:
    reasons = {each.name: each.reason for each in convert(Language(attention=Strict), IDS).fixed}
    assert reasons["layers.0.c_proj.width"].startswith("neither alone, nor layers.0.c_proj.width together with ")
    assert reasons["layers.0.c_attn.heads"].endswith("(ValueError: 32 channels are needed)")


def test_the_indices_of_heads_and_channels_are_part_of_the_fingerprint() -> None:
    model = Language()
    given = convert(model, IDS)
    order = given.plan.orders
    heads = given.groups["layers.0.c_proj.width"].tied[0].atom
    assert sorted(order[heads].tolist()) == [0, 1, 2, 3]
    other = ConvertedSpace(
        replace(given.plan, orders={**order, heads: order[heads].flip(0)}), given.inputs, (), "Language"
    )
    assert other.fingerprint != given.fingerprint == convert(model, IDS).fingerprint
