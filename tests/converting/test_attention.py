"""Multi-head attention of torch with fewer heads."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.converting import Width, convert
from raynas.converting.attention import PrunedMultiheadAttention, general_attention
from raynas.core.inputs import Arguments
from raynas.errors import SpaceError
from raynas.exporting import export
from raynas.nn.dimensions.tracing import slow_attention
from raynas.nn.supernet import Supernet

SETTINGS: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"batch_first": True}, (8, 8)),
    ({"bias": False}, (8, 8)),
    ({"add_bias_kv": True, "batch_first": True}, (8, 8)),
    ({"add_zero_attn": True, "add_bias_kv": True}, (8, 8)),
    ({"kdim": 6, "vdim": 5, "batch_first": True}, (6, 5)),
]
LONG, SHORT, N = 5, 4, 2
MASKS: list[dict[str, Any]] = [
    {},
    {"need_weights": False},
    {"average_attn_weights": False, "attn_mask": torch.rand(LONG, SHORT) < 0.3},
    {"need_weights": False, "attn_mask": torch.randn(N * 4, LONG, SHORT)},
    {"need_weights": False, "key_padding_mask": torch.tensor([[False] * 4, [False, False, True, True]])},
    {
        "attn_mask": torch.randn(LONG, SHORT),
        "key_padding_mask": torch.tensor([[0.0] * 4, [0, 0, -1, -2]]),
        "need_weights": True,
    },
    {"need_weights": False, "is_causal": True, "attn_mask": nn.Transformer.generate_square_subsequent_mask(LONG)},
]


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize(("settings", "widths"), SETTINGS)
def test_computes_what_the_attention_of_torch_does(
    settings: dict[str, Any], widths: tuple[int, int], masks: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    given = nn.MultiheadAttention(8, 4, **settings).eval()
    for parameter in given.parameters():
        nn.init.normal_(parameter)
    n_keys = LONG if "is_causal" in masks else SHORT
    query, key, value = (torch.randn(N, n, w) for n, w in ((LONG, 8), (n_keys, widths[0]), (n_keys, widths[1])))
    if not settings.get("batch_first"):
        query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
    expected = given(query, key, value, **masks)
    with general_attention(given):
        assert type(given).__name__ == PrunedMultiheadAttention.__name__
        found = given(query, key, value, **masks)
    assert type(given) is nn.MultiheadAttention
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_without_a_batch() -> None:
    given, x = nn.MultiheadAttention(8, 2), torch.rand(5, 8)
    expected = given(x, x, x)
    with general_attention(given):
        torch.testing.assert_close(given(x, x, x), expected)


class Encoder(nn.Module):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **settings)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not settings)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        y: Tensor = self.body(x, src_key_padding_mask=padding)
        return y


def test_fused_kernels_of_torch_compute_what_members_do() -> None:
    """Also where the heads of one layer alone are fewer, and inputs are padded, so that torch would nest them."""
    x, padding = torch.rand(2, 6, 16), torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    space = convert(Encoder().eval(), Arguments((x, padding)), divisor=4)
    arch = {**space.default, "body.layers.1.self_attn.heads": 2, "body.layers.0.linear1.width": 16}
    member = space.build(arch).eval()
    pruned = [type(module) for module in member.modules() if "Multihead" in type(module).__name__]
    assert pruned == [nn.MultiheadAttention, PrunedMultiheadAttention]
    with torch.no_grad():
        found = member(x, padding)
        with slow_attention():
            expected = member(x, padding)
    torch.testing.assert_close(found[~padding], expected[~padding])


class Masked(nn.Module):
    def __init__(self, attention: type[nn.MultiheadAttention] = nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(8, 32), nn.Linear(32, 5)
        self.attention = attention(32, 4, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.embed(x)
        y: Tensor = self.head(h + self.attention(h, h, h, need_weights=False, attn_mask=mask)[0])
        return y


class Subclass(nn.MultiheadAttention):
    pass


@pytest.mark.parametrize(("per_head", "heads"), [(True, []), (False, [4, 3, 2])])
@torch.no_grad()
def test_a_mask_for_each_head_keeps_all_heads(per_head: bool, heads: list[int]) -> None:
    def inputs(n: int) -> Arguments:
        return Arguments((torch.rand(n, 7, 8), torch.randn(*([4 * n] if per_head else []), 7, 7)))

    space, example = convert(Masked().eval(), inputs(2), inputs=inputs), inputs(2)
    assert list(space.plan.widths.get("attention.heads", ())) == heads
    assert per_head is ("attention.heads" in {each.name for each in space.fixed})
    supernet = Supernet(space).eval()
    for arch in (space.smallest, space.largest):
        member = space.build(arch).eval()
        torch.testing.assert_close(example.call(member), supernet(example, arch))


def test_a_subclass_computes_the_width_of_its_heads_itself() -> None:
    """Its heads vary with the residual width, as its numbers allow; alone they stay, and the reason is said."""
    example = Arguments((torch.rand(2, 7, 8), torch.randn(7, 7)))

    def inputs(n: int) -> Arguments:
        return Arguments((example.args[0][:1].expand(n, -1, -1), example.args[1]))

    space = convert(Masked(Subclass).eval(), example, inputs=inputs)
    assert [each.name for each in space.groups["embed.width"].tied] == ["attention.heads"]
    member = space.build(space.smallest).eval()
    attention: Any = member.get_submodule("attention")
    assert (type(attention), attention.num_heads, attention.embed_dim) == (Subclass, 2, 16)
    torch.testing.assert_close(example.call(member), Supernet(space).eval()(example, space.smallest))
    with pytest.raises(SpaceError, match=r"attention\.heads: the width of heads is computed from embed\.width"):
        convert(Masked(Subclass).eval(), example, inputs=inputs, keep=["embed"])


def test_heads_and_the_residual_width_that_fit_stay_an_attention_of_torch() -> None:
    model = nn.Sequential(nn.Linear(3, 16), nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), nn.Linear(16, 2))
    space = convert(model.eval(), torch.rand(2, 5, 3), vary={"*": Width(0.5)}, divisor=4)
    half = {"0.width": 8, "1.self_attn.heads": 2}
    member = space.build({**space.default, **half})
    attention = member.get_submodule("1.self_attn")
    assert type(attention) is nn.MultiheadAttention
    assert (attention.embed_dim, attention.num_heads, attention.head_dim) == (8, 2, 4)
    fewer = space.build({**space.default, "1.self_attn.heads": 2}).get_submodule("1.self_attn")
    assert isinstance(fewer, PrunedMultiheadAttention)
    assert (fewer.embed_dim, fewer.num_heads, fewer.head_dim) == (16, 2, 4)
    assert fewer.state_dict().keys() == attention.state_dict().keys()
    x = torch.rand(2, 5, 16)
    torch.testing.assert_close(pickle.loads(pickle.dumps(fewer))(x, x, x), fewer(x, x, x))


@pytest.mark.parametrize("norm_first", [False, True])
def test_members_become_source_code(tmp_path: Path, norm_first: bool) -> None:
    """Layers of torch whose attention was replaced, and stacks of layers that differ."""
    example = Arguments((torch.rand(2, 6, 16), torch.zeros(2, 6)))
    space = convert(Encoder(norm_first=norm_first).eval(), example, divisor=8)
    arch = {**space.default, "body.layers.1.self_attn.heads": 3, "body.layers.0.linear1.width": 16}
    exported = export(space.build(arch).eval(), example, tmp_path, formats=["source"], verify=False)
    assert "model.py" in exported.files
    text = (tmp_path / "model.py").read_text()
    assert "network.body.layers[1].self_attn = PrunedMultiheadAttention(" in text
    assert "raynas" not in text
