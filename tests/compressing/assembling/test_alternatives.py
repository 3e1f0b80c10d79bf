"""Alternatives to a block: their shapes, their sizes, and what they compute where that is known."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.compressing.assembling.alternatives import Custom, made, read_alternatives
from raynas.compressing.assembling.blocks import Call, blocks_of
from raynas.core.inputs import Arguments
from raynas.errors import SettingError, SpaceError, UnknownNameError
from raynas.metrics import count_params
from raynas.nn.replacements import InPlaceOf, Zeros
from tests.compressing.assembling.nets import Attention, Residual, resnet, vit


def alternative(text: str, block: nn.Module, call: Call) -> Any:
    (known,) = read_alternatives([text]).values()
    module = made(known, block, call)
    known.begin(module, call)
    return module.eval()


def call_on(block: nn.Module, *args: Any, **kwargs: Any) -> Call:
    with torch.no_grad():
        return Call(Arguments(args, kwargs), block.eval()(*args, **kwargs))


def difference(module: nn.Module, call: Call) -> float:
    with torch.no_grad():
        found = call.arguments.map(torch.clone).call(module)
    return float((found - call.given).abs().max() / call.given.abs().max())


@pytest.mark.parametrize(
    ("text", "n_params"),
    [
        ("width:0.5", 12_704 - (32 * 64 + 64 + 64 * 32)),
        ("heads:0.5", 12_704 - 4 * 32 * 16 - 3 * 16),
        ("grouped_query:1", 12_704 - 2 * 24 * 33),
        ("linear", 32 * 33),
        ("skip", 0),
        ("heads:0.5+width:0.5", 12_704 - 4 * 32 * 16 - 3 * 16 - (32 * 64 + 64 + 64 * 32)),
    ],
)
def test_alternatives_to_a_transformer_block_have_the_sizes_that_they_name(text: str, n_params: int) -> None:
    model = vit()
    call = blocks_of(model, Arguments((torch.rand(4, 1, 8, 8),)))["blocks.0"]
    assert count_params(model.blocks[0]) == 12_704
    module = alternative(text, model.blocks[0], call)
    assert count_params(module) == n_params
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_alternatives_to_a_residual_block() -> None:
    model = resnet().eval()
    calls = blocks_of(model, Arguments((torch.rand(4, 1, 8, 8),)))
    block, call = model[2][1], calls["2.1"]
    assert alternative("kernel:3", block, call).conv2.weight.shape == (16, 16, 3, 3)
    assert alternative("width:0.5", block, call).conv1.weight.shape == (8, 16, 3, 3)
    assert isinstance(alternative("skip", block, call), nn.Identity)
    assert isinstance(alternative("linear", model[2][0], calls["2.0"])[0], nn.AvgPool2d)
    with pytest.raises(SpaceError, match="so it cannot be left out"):
        alternative("skip", model[2][0], calls["2.0"])
    with pytest.raises(SpaceError, match="attention heads cannot be reduced: there are none"):
        alternative("heads:0.5", block, call)
    with pytest.raises(SpaceError, match="no attention was seen"):
        alternative("grouped_query:1", block, call)


def test_a_linear_block_is_replaced_exactly() -> None:
    block = nn.Sequential(nn.Linear(6, 12), nn.Linear(12, 5))
    assert difference(alternative("linear", block, call := call_on(block, torch.randn(40, 7, 6))), call) < 0.01
    strided = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 9, 1), nn.Conv2d(9, 9, 1))
    assert difference(alternative("linear", strided, call := call_on(strided, torch.randn(8, 4, 8, 8))), call) < 0.01
    with pytest.raises(SpaceError, match=r"it makes \[8\] positions of \[9\]"):
        alternative("linear", conv := nn.Conv1d(3, 3, 2), call_on(conv, torch.randn(4, 3, 9)))


def test_a_branch_inside_a_sum_is_replaced_by_zeros() -> None:
    branch = nn.Linear(8, 8)
    assert isinstance(alternative("skip", branch, call_on(branch, torch.randn(5, 8))), Zeros)


class Keyword(nn.Module):
    """A block that takes its input by name beside others, and gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, *, mask: Tensor | None = None, states: Tensor) -> tuple[Tensor, None]:
        return states + self.layer(states).tanh() / 4, None


def test_arguments_and_results_of_a_block_are_kept() -> None:
    block = Keyword()
    call = call_on(block, states=torch.randn(3, 4))
    module = alternative("skip", block, call)
    assert isinstance(module, InPlaceOf)
    found = module(mask=torch.ones(2), states=call.taken)
    assert torch.equal(found[0], call.taken) and found[1] is None and len(found) == 2


@pytest.mark.parametrize("in_steps", [False, True])
def test_heads_that_have_equal_keys_and_values_share_them_exactly(in_steps: bool) -> None:
    torch.manual_seed(0)
    block = Attention(24, 6, in_steps=in_steps)
    with torch.no_grad():
        for layer in (block.qkv.weight, block.qkv.bias):
            heads = layer[24:].view(2, 2, 3, 4, -1)  # (keys and values, groups, heads of a group, features, ...)
            heads.copy_(heads[:, :, :1].expand_as(heads))
    call = call_on(block, torch.randn(2, 5, 24))
    module = alternative("grouped_query:2", block, call)
    assert module.qkv.layer.out_features == 24 + 2 * 2 * 4
    assert difference(module, call) < 1e-5
    assert difference(alternative("grouped_query:1", block, call), call) > 0.01


def test_heads_of_torchs_attention_share_keys_and_values() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(24, 6, 48, batch_first=True).eval()
    with torch.no_grad():
        for packed in (layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias):
            heads = packed[24:].view(2, 2, 3, 4, -1)
            heads.copy_(torch.randn_like(heads[:, :, :1]).expand_as(heads) / 5)
    call = call_on(layer, torch.randn(2, 5, 24))
    module = alternative("grouped_query:2", layer, call)
    assert module.self_attn.k_proj_weight.shape == (8, 24)
    assert difference(module, call) < 1e-5


def test_numbers_of_groups_must_divide_the_heads() -> None:
    block = Attention(24, 6)
    with pytest.raises(SpaceError, match="6 heads of keys and values cannot share those of 4"):
        alternative("grouped_query:4", block, call_on(block, torch.randn(2, 5, 24)))


def test_own_alternatives_are_checked() -> None:
    block = Residual(4, 4)
    call = call_on(block, torch.rand(2, 4, 5, 5))
    assert isinstance(made(Custom("own", lambda b, c: nn.Conv2d(4, 4, 1)), block, call), nn.Conv2d)
    with pytest.raises(SpaceError, match=r"it gives tensors of the shapes \[\(2, 5, 5, 5\)\]"):
        made(Custom("own", lambda b, c: nn.Conv2d(4, 5, 1)), block, call)
    with pytest.raises(SpaceError, match="it does not run on the block's inputs: RuntimeError"):
        made(Custom("own", lambda b, c: nn.Linear(4, 4)), block, call)
    with pytest.raises(SpaceError, match="own cannot be made: ZeroDivisionError"):
        made(Custom("own", lambda b, c: 1 / 0), block, call)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["widht:0.5"], "unknown alternative 'widht:0.5'; did you mean 'width:N'"),
        (
            ["width:2"],
            r"width needs a share in \(0, 1\) of the widths behind a colon, such as width:0.5, got 'width:2'",
        ),
        (["kernel:4"], "kernel needs an odd size"),
        (["grouped_query:0"], "grouped_query needs a number of heads"),
        (["skip", "skip"], "alternatives must have different names"),
        ([], "alternatives must name one at least"),
    ],
)
def test_alternatives_are_read(given: list[str], expected: str) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=expected):
        read_alternatives(given)
