"""Conversion of given models: the largest member is the model, and every member is what the trace says."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.converting import ConvertedSpace, Depth, Width, convert
from raynas.converting import importance as criteria
from raynas.core.inputs import Arguments, Inputs
from raynas.errors import SpaceError
from raynas.exporting import export
from raynas.metrics.cost import count_macs, count_params
from raynas.nn.dimensions.expressions import positions
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.supernet import Supernet

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def conv(n_in: int, n_out: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups), nn.BatchNorm2d(n_out), nn.ReLU()
    )


class Residual(nn.Module):
    def __init__(self, n: int, hidden: int, groups: int = 1) -> None:
        super().__init__()
        self.first, self.second = conv(n, hidden), nn.Conv2d(hidden, n, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.second(self.first(x))
        return y


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv(3, 16), nn.Linear(16, 5)
        self.blocks = nn.Sequential(Residual(16, 24), Residual(16, 32, groups=4), Residual(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return y


class Dense(nn.Module):
    """Concatenation, then a flatten of channels and positions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 16), conv(16, 8), conv(24, 16)
        self.head = nn.Linear(40 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        ab = torch.cat([a, self.b(a)], 1)
        y: Tensor = self.head(functional.adaptive_avg_pool2d(torch.cat([ab, self.c(ab)], 1), 2).flatten(1))
        return y


class Mobile(nn.Module):
    """A depthwise convolution, and squeeze-excite."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise, self.project = conv(3, 32, 1), conv(32, 32, groups=32), nn.Conv2d(32, 16, 1)
        self.squeeze, self.excite, self.head = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 32, 1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.depthwise(self.expand(x))
        gate = self.excite(self.squeeze(inner.mean((2, 3), keepdim=True)).relu()).sigmoid()
        y: Tensor = self.head(self.project(inner * gate).mean((2, 3)))
        return y


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = conv(3, 16), conv(16, 32)
        self.up, self.out = nn.ConvTranspose2d(32, 16, 2, stride=2), nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        y: Tensor = self.out(torch.cat([skip, self.up(self.middle(functional.max_pool2d(skip, 2)))], 1))
        return y


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 16)), nn.Linear(32, 2)

    def forward(self, left: Tensor, *, right: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(torch.cat([self.body(left), self.body(right)], -1))}


class Attention(nn.Module):
    """Separate q, k and v, whose number of heads the code has as a number."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.n_heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).view(*x.shape[:2], self.n_heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        heads = functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return y


class Fused(Attention):
    """Fused q, k and v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.q = nn.Linear(width, 3 * width)
        del self.k, self.v

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x).view(*x.shape[:2], 3, self.n_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        heads = functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return y


class Layer(nn.Module):
    def __init__(self, kind: type[Attention]) -> None:
        super().__init__()
        self.attention, self.before, self.after = kind(32, 4), nn.LayerNorm(32), nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        y: Tensor = x + self.mlp(self.after(x))
        return y


class Language(nn.Module):
    """A transformer whose embedding is its head as well."""

    def __init__(self, kind: type[Attention] = Attention) -> None:
        super().__init__()
        self.embedding, self.layers = nn.Embedding(40, 32), nn.ModuleList(Layer(kind) for _ in range(3))
        self.head = nn.Linear(32, 40, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        y: Tensor = self.head(x)
        return y


class Torch(nn.Module):
    """The transformer of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x).mean(1)
        return y


class Recurrent(nn.Module):
    """Two layers in both directions, and a cell that goes on from them."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU], cell: type[nn.LSTMCell | nn.GRUCell], **settings: int) -> None:
        super().__init__()
        self.embed, self.body = nn.Linear(6, 16), kind(16, 24, 2, batch_first=True, bidirectional=True, **settings)
        self.cell, self.head = cell(2 * (settings.get("proj_size") or 24), 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.cell(self.body(self.embed(x))[0][:, -1])
        y: Tensor = self.head(hidden[0] if isinstance(hidden, tuple) else hidden)
        return y


IMAGES, IDS = torch.rand(2, 3, 8, 8), torch.arange(14).view(2, 7)
MODELS: dict[str, tuple[Callable[[], nn.Module], Inputs]] = {
    "resnet": (ResNet, IMAGES),
    "dense": (Dense, IMAGES),
    "mobile": (Mobile, IMAGES),
    "unet": (UNet, IMAGES),
    "siamese": (Siamese, Arguments((torch.rand(2, 6),), {"right": torch.rand(2, 6)})),
    "language": (Language, IDS),
    "fused": (lambda: Language(Fused), IDS),
    "torch": (Torch, torch.rand(2, 7, 32)),
    "lstm": (lambda: Recurrent(nn.LSTM, nn.LSTMCell), torch.rand(2, 5, 6)),
    "projected": (lambda: Recurrent(nn.LSTM, nn.LSTMCell, proj_size=16), torch.rand(2, 5, 6)),
    "gru": (lambda: Recurrent(nn.GRU, nn.GRUCell), torch.rand(2, 5, 6)),
}


def converted(name: str) -> tuple[nn.Module, Arguments, ConvertedSpace]:
    torch.manual_seed(0)
    model, example = MODELS[name][0](), Arguments.of(MODELS[name][1])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return model.eval(), example, convert(model, example)


def output(model: nn.Module, example: Arguments) -> Tensor:
    with torch.no_grad():
        return next(tensors_in(example.call(model)))


@pytest.mark.parametrize("name", MODELS)
def test_members(name: str) -> None:
    model, example, space = converted(name)
    largest = space.build(space.largest).eval()
    assert torch.equal(output(largest, example), output(model, example))
    assert count_params(largest) == count_params(model)
    assert count_macs(largest, example) == count_macs(model, example)
    supernet = Supernet(space).eval()
    for arch in [space.smallest, *(space.sample(np.random.default_rng(seed)) for seed in range(3))]:
        member, extracted = space.build(arch).eval(), supernet.extract(arch).eval()
        with torch.no_grad():
            shared = next(tensors_in(supernet(example, arch)))
        torch.testing.assert_close(output(member, example), shared, rtol=0, atol=1e-6)
        torch.testing.assert_close(output(extracted, example), shared, rtol=0, atol=1e-6)
        assert count_params(member) == count_params(extracted) < count_params(model) or arch == space.largest


@pytest.mark.parametrize("name", ["resnet", "dense", "mobile", "unet", "siamese", "torch", "lstm", "projected", "gru"])
def test_a_member_computes_what_the_model_does_without_the_channels(name: str) -> None:
    """With zeros for all weights of the channels that a member lacks, the given model has its output."""
    model, example, space = converted(name)
    kept = space.plan.kept(space.smallest)
    arch = {**space.smallest, **{row: max(options) for row, options in space.plan.depths.items()}}
    silent = copy.deepcopy(model)
    named = dict(silent.named_parameters())
    for parameter_name, given in model.named_parameters():
        for axis, dimension in enumerate(space.plan.wiring.dimensions[parameter_name]):
            mask = torch.zeros(given.shape[axis])
            mask[positions(dimension, kept)] = 1
            named[parameter_name].data *= mask.view(-1, *[1] * (given.ndim - axis - 1))
    torch.testing.assert_close(output(space.build(arch).eval(), example), output(silent, example))


@pytest.mark.parametrize(
    ("name", "decisions"),
    [
        ("resnet", ["stem.0.groups", "blocks.0.first.0.width", "blocks.2.first.0.width", "blocks.depth"]),
        ("dense", ["a.0.width", "c.0.width"]),
        ("mobile", ["expand.0.width", "project.width", "squeeze.width"]),
        ("unet", ["down.0.width", "middle.0.width", "up.width"]),
        ("siamese", ["body.0.width", "body.2.width"]),
        (
            "language",
            ["layers.0.attention.out.width", "layers.0.attention.q.heads", "layers.2.mlp.0.width", "layers.depth"],
        ),
        ("fused", ["layers.0.attention.q.heads", "layers.0.mlp.0.width", "layers.depth"]),
        ("lstm", ["embed.width", "body.width", "cell.width"]),
        ("projected", ["embed.width", "body.width", "cell.width"]),
        ("gru", ["embed.width", "body.width", "cell.width"]),
        ("torch", ["body.layers.0.linear1.width", "body.layers.1.self_attn.heads", "body.layers.depth"]),
    ],
)
def test_what_varies(name: str, decisions: list[str]) -> None:
    space = converted(name)[2]
    assert set(decisions) <= {decision.name for decision in space.decisions}


class Indivisible(nn.Module):
    """Its code computes a size from another one."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 32), nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(x) + self.a(x).view(len(x), 2, -1).mean(1).view(len(x), x.shape[1] * 2)
        return y


def test_recurrent_members_are_layers_of_torch(tmp_path: Path) -> None:
    _, example, space = converted("projected")
    member = space.build(space.smallest).eval()
    body, cell = member.get_submodule("body"), member.get_submodule("cell")
    assert isinstance(body, nn.LSTM) and isinstance(cell, nn.LSTMCell)
    assert (body.input_size, body.hidden_size, body.proj_size) == (8, 24, 8)
    assert (cell.input_size, cell.hidden_size) == (16, 8)
    exported = export(member, example, tmp_path, formats=["source"], verify=False)
    assert "model.py" in exported.files
    assert (
        "nn.LSTM(input_size=8, hidden_size=24, num_layers=2, batch_first=True, bidirectional=True, proj_size=8)"
        in (tmp_path / "model.py").read_text()
    )
    assert "outnumber" in next(each.reason for each in space.fixed if each.name == "body.width2")


def test_what_cannot_vary_is_said() -> None:
    model = convert(nn.Sequential(Indivisible(), nn.Linear(16, 16), nn.Linear(16, 3)), torch.rand(2, 8))
    reasons = {each.name: each.reason for each in model.fixed}
    assert "code does not allow it" in reasons["0.a.head_width"]
    assert all(f"fixed: {name}" in model.summary() for name in reasons)


class Careless(nn.Module):
    """Reshapes with a number that a narrower member breaks in silence: it has the output's shape, and other heads."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(8, 32)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x).view(len(x), -1, 16).amax(-1).sum(1)
        return y


def test_a_reshape_that_hides_a_fault_is_found() -> None:
    space = convert(Careless(), torch.rand(4, 8))
    assert [decision.name for decision in space.decisions] == ["a.heads"]
    (fixed,) = space.fixed
    assert fixed.name == "a.head_width"
    assert "would give" in fixed.reason


class Ratio(nn.Module):
    """Has a number of heads that the code computes from another width."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 32), nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        b = self.b(x)
        y: Tensor = self.a(x).view(len(x), b.shape[1] // 4, -1).amax(1).sum(1) + b.sum(1)
        return y


def test_widths_that_run_together_alone_are_not_independent() -> None:
    space = convert(Ratio(), torch.rand(4, 8), divisor=4)
    assert [decision.name for decision in space.decisions] == ["a.head_width"]
    assert {each.name for each in space.fixed} == {"a.heads", "b.width"}


def test_the_default_is_the_given_model() -> None:
    model = ResNet()
    space = convert(model, IMAGES)
    assert space.default == space.largest
    assert count_params(space.build(space.default)) == count_params(model)


def test_globs() -> None:
    space = convert(ResNet(), IMAGES, vary={"blocks.0.*": Width(0.25), "blocks": Depth(2)}, keep=["stem"], divisor=2)
    assert {d.name: tuple(d.options) for d in space.decisions} == {
        "blocks.0.first.0.width": (24, 6),
        "blocks.depth": (3, 2),
    }
    for wrong in ({"vary": {"layer9.*": Width(0.5)}}, {"keep": ["nowhere"]}):
        with pytest.raises(SpaceError, match="matches no layer"):
            convert(ResNet(), IMAGES, **wrong)
    with pytest.raises(SpaceError, match=r"did you mean 'blocks\.depth'"):
        convert(ResNet(), IMAGES, keep=["block.depth"])
    with pytest.raises(SpaceError, match="all of it is kept"):
        convert(ResNet(), IMAGES, keep=["*"])
    with pytest.raises(SpaceError, match="depth of 1 to 3"):
        convert(ResNet(), IMAGES, vary={"blocks": Depth(4)})
    with pytest.raises(SpaceError, match=r"shares of the given width"):
        Width(1.5)


def test_training_changes_the_shared_weights_and_statistics_of_the_channels_in_use() -> None:
    _, example, space = converted("mobile")
    supernet = Supernet(space).train()
    before = copy.deepcopy(supernet.state_dict())
    supernet(example, space.smallest).sum().backward()
    norm = next(name for name in before if name.endswith("expand.1.running_mean"))
    changed = supernet.state_dict()[norm] != before[norm]
    assert changed.sum() == space.smallest["expand.0.width"]
    gradient = next(p for name, p in supernet.named_parameters() if name.endswith("expand.0.weight")).grad
    assert gradient is not None
    learns = gradient.flatten(1).abs().sum(1) > 0
    assert learns.any()
    assert not (learns & ~changed).any()


def test_importance() -> None:
    first, last = nn.Linear(4, 8), nn.Linear(8, 2)
    model = nn.Sequential(first, nn.ReLU(), last)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([1.0, 9, 2, 8, 3, 7, 4, 6])[:, None].expand(8, 4))
        last.weight.fill_(1)
    member = convert(model, torch.rand(2, 4), divisor=4).build({"0.width": 4})
    assert torch.equal(member[0].weight[:, 0], torch.tensor([9.0, 8, 7, 6]))  # type: ignore[index]
    with torch.no_grad():
        last.weight.copy_(torch.tensor([99.0, 1, 99, 1, 99, 1, 99, 1]).expand(2, 8))
    member = convert(model, torch.rand(2, 4), divisor=4).build({"0.width": 4})
    assert torch.equal(member[0].weight[:, 0], torch.tensor([1.0, 2, 3, 4]))  # type: ignore[index]

    def losses(net: nn.Module) -> list[Tensor]:  # The changes of odd channels cancel in the sum of both outputs.
        return [net(torch.ones(1, 4)).sum(), 3 * net(torch.ones(1, 4)).sum()]

    with torch.no_grad():
        first.bias.zero_()
        last.weight.copy_(torch.tensor([[1.0, 50, 1, 50, 1, 50, 1, 50], [1, -50, 1, -50, 1, -50, 1, -50]]))
    space = convert(model, torch.rand(2, 4), divisor=4, importance="taylor", losses=losses)
    assert torch.equal(space.build({"0.width": 4})[0].weight[:, 0], torch.tensor([1.0, 2, 3, 4]))  # type: ignore[index]
    score = criteria.taylor(model, losses(model))(space.groups["0.width"])
    assert score.tolist() == [(8 * size) ** 2 * 10 for size in (1, 0, 2, 0, 3, 0, 4, 0)]  # 2 outputs, 4 inputs; 1 + 9
    with pytest.raises(SpaceError, match="needs losses"):
        convert(model, torch.rand(2, 4), importance="taylor")
    with pytest.raises(SpaceError, match="must be one of"):
        convert(model, torch.rand(2, 4), importance="magic")  # type: ignore[arg-type]


def test_a_space_and_its_supernet_survive_copies_and_pickles() -> None:
    _, example, space = converted("resnet")
    again = pickle.loads(pickle.dumps(space))
    arch = space.smallest
    assert torch.equal(output(again.build(arch).eval(), example), output(space.build(arch).eval(), example))
    supernet = pickle.loads(pickle.dumps(Supernet(space).eval()))
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(supernet)(example, arch), output(space.build(arch).eval(), example))


def test_mixtures_are_refused() -> None:
    _, example, space = converted("siamese")
    with pytest.raises(SpaceError, match="chosen, not mixed"):
        Supernet(space)(example, {**space.largest, "body.0.width": torch.ones(3)})


def test_a_supernet_computes_with_weights_that_replaced_its_own() -> None:
    space = convert(ResNet(), IMAGES)
    trained = Supernet(space).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    with torch.device("meta"):
        loaded = Supernet(space).eval()
    loaded.load_state_dict(trained.state_dict(), assign=True)
    for arch in (space.largest, space.smallest):
        expected = trained.extract(arch)(IMAGES)
        assert torch.equal(loaded(IMAGES, arch), expected)
        assert torch.equal(loaded.extract(arch, copy_weights=False)(IMAGES), expected)


def test_extracted_members_share_what_they_have_whole() -> None:
    space = converted("resnet")[2]
    supernet = Supernet(space)
    shared = {tensor.data_ptr() for tensor in supernet.parameters()}
    for arch, shares in ((space.smallest, False), (space.largest, True)):
        member = supernet.extract(arch, copy_weights=False)
        assert (member.get_parameter("blocks.0.first.0.weight").data_ptr() in shared) is shares
        assert member.get_parameter("head.bias").data_ptr() in shared
        assert not any(buffer.data_ptr() in {b.data_ptr() for b in supernet.buffers()} for buffer in member.buffers())
    assert not any(p.data_ptr() in shared for p in supernet.extract(space.largest).parameters())


def test_rows_of_blocks_in_one_container_are_decisions_of_their_own() -> None:
    def stage(width: int) -> list[nn.Module]:
        return [nn.Sequential(nn.Linear(width, 9), nn.ReLU(), nn.Linear(9, width)) for _ in range(2)]

    model = nn.Sequential(nn.Linear(4, 8), *stage(8), nn.Linear(8, 6), *stage(6), nn.Linear(6, 3))
    space = convert(model, torch.rand(2, 4))
    assert {"model.1.depth", "model.4.depth"} <= {decision.name for decision in space.decisions}
    shallow = space.build(space.canonical({**space.default, "model.1.depth": 0, "model.4.depth": 1}))
    assert len(shallow) == 4 and shallow(torch.rand(2, 4)).shape == (2, 3)  # type: ignore[arg-type]


def test_importance_leaves_no_gradients() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(2, 4)
    convert(model, x, divisor=4, importance="taylor", losses=lambda net: [net(x).square().sum()])
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(SpaceError, match="needs losses"):
        convert(model, x, losses=lambda net: [net(x).sum()])


class Auxiliary(nn.Module):
    """A second classifier that runs in training alone, as in GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 16), conv(16, 16)
        self.extra, self.head = nn.Sequential(conv(16, 8, 1), nn.Flatten(), nn.Linear(8 * 64, 5)), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.first(x)
        logits: Tensor = self.head(functional.dropout(self.second(x), 0.5, self.training).mean((2, 3)))
        return (logits, self.extra(x)) if self.training else logits


def test_layers_that_run_in_training_alone_have_the_same_channels() -> None:
    torch.manual_seed(0)
    model, x = Auxiliary().eval(), torch.rand(1, 3, 8, 8)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    space = convert(model, x, divisor=4)
    assert torch.equal(torch.random.get_rng_state(), state) and not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {"first.0.width", "second.0.width", "extra.0.0.width"} <= {d.name for d in space.decisions}
    member = space.build(space.smallest).train()
    logits, extra = member(torch.rand(2, 3, 8, 8))
    assert logits.shape == extra.shape == (2, 5)
    assert member.get_parameter("extra.0.0.weight").shape[:2] == (4, 8)


def test_the_fingerprint_tells_weights_apart() -> None:
    model = ResNet()
    first = convert(model, IMAGES)
    assert first.fingerprint == convert(copy.deepcopy(model), IMAGES).fingerprint
    assert first.fingerprint == pickle.loads(pickle.dumps(first)).fingerprint
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.bias[0] += 1
    assert convert(other, IMAGES).fingerprint != first.fingerprint
    assert convert(other, IMAGES).weights_fingerprint != first.weights_fingerprint
    random = convert(model, IMAGES, importance="random")
    assert random.fingerprint != first.fingerprint
    assert random.weights_fingerprint == first.weights_fingerprint


class Scaled(Attention):
    """Has the scale of its attention as a number, and another one that happens to be equal."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.scale, self.rate = (width // heads) ** -0.5, (width // heads) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).view(*x.shape[:2], self.n_heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        heads = (q @ k.transpose(-2, -1) * self.scale).softmax(-1) @ v
        y: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return y


def test_the_scale_of_attention_follows_the_width_of_its_heads() -> None:
    space = convert(nn.Sequential(Scaled(32, 2), nn.Linear(32, 3)), torch.rand(2, 5, 32))
    attention = space.build({**space.default, "0.q.head_width": 8}).get_submodule("0")
    assert [attention.scale, attention.rate] == pytest.approx([8**-0.5, 16**-0.5])
    wider = space.build({**space.default, "0.q.heads": 1}).get_submodule("0")
    assert wider.scale == pytest.approx(16**-0.5)


class Weighted(nn.Module):
    """Weights its blocks by their number, so that a block is more than what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x) * (i + 1)
        return x


def test_blocks_that_are_more_than_what_they_give_stay() -> None:
    space = convert(Weighted(), torch.rand(2, 8), divisor=4)
    assert "blocks.depth" not in {decision.name for decision in space.decisions}
    assert "passed their inputs on" in next(each.reason for each in space.fixed if each.name == "blocks.depth")


class Tracked(nn.Module):
    """Has statistics with two dimensions that vary."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 2)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        if self.training:
            self.seen += a.detach().T @ b.detach()
        y: Tensor = self.head(b + a @ self.seen)
        return y


def test_statistics_of_two_dimensions_that_vary() -> None:
    space = convert(Tracked(), torch.rand(2, 4), divisor=4)
    supernet = Supernet(space).train()
    supernet(torch.rand(2, 4), space.smallest)
    seen = next(tensor for name, tensor in supernet.named_buffers() if name.endswith("seen"))
    assert (seen != 0).sum() == 16
    rows = (seen != 0).any(1).sum()
    assert rows == 4
