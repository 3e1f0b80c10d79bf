"""Models written in ways that a conversion may trip over."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from raynas.converting import convert
from raynas.core.inputs import Arguments
from raynas.metrics.cost import count_macs, count_params
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.supernet import Supernet
from tests.converting.silencing import silenced


def conv(n_in: int, n_out: int, kernel: int = 3, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, **settings)


class Model(nn.Module):
    """A model whose layers are given by name, and a function that computes with them."""

    def __init__(self, compute: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *args: Any) -> Any:
        return self.compute(self, *args)


def means(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def twins(m: Any, a: Tensor, b: Tensor) -> Tensor:
    u, v = means(m.body(a)), means(m.body(b))
    return m.head(torch.cat([(u - v).abs(), u * v], 1))  # type: ignore[no-any-return]


def by_name(m: Any, x: Tensor) -> Mapping[str, Tensor]:
    y = means(m.body(x).relu())
    return {name: head(y) for name, head in m.heads.items()}


def parameters_alone(m: Any, x: Tensor) -> Tensor:
    y = ((x @ m.w[0] * m.scales["first"]).relu() @ m.w[1]).relu()
    return y @ m.w[2]  # type: ignore[no-any-return]


def einsums(m: Any, x: Tensor) -> Tensor:
    y = torch.einsum("bi,oi->bo", x, m.w[0]).relu()
    return torch.einsum("bo,ok->bk", y, m.w[1])


def super_resolution(m: Any, x: Tensor) -> Tensor:
    return m.last(m.shuffle(m.up(m.first(x).relu()))).relu()  # type: ignore[no-any-return]


def buffers(m: Any, x: Tensor) -> Tensor:
    return m.head(means(((m.body(x) - m.body.mean) * m.body.mask[:, None, None]).relu()))  # type: ignore[no-any-return]


def in_place(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    y.relu_()
    y += m.b(y)
    y.mul_(0.5).add_(m.c(y))
    y[:, :, 0] = 0
    return m.head(means(y))  # type: ignore[no-any-return]


def twice_the_same(m: Any, x: Tensor) -> Tensor:
    y = m.a(x).relu()
    y = m.b(torch.cat([y, y], 1)).relu()
    return m.head(means(torch.cat([y, y.flip(3), 2 * y], 1)))  # type: ignore[no-any-return]


def by_shape(m: Any, x: Tensor) -> Tensor:
    y = m.a(x).relu()
    z = m.b(y)
    if z.shape[1] != y.shape[1]:
        y = m.project(y)
    y = y + z
    return m.head(means(y + m.c(y) if y.size(1) > 20 else y))  # type: ignore[no-any-return]


def experts(m: Any, x: Tensor) -> Tensor:
    x = m.embed(x)
    weights, chosen = m.gate(x).softmax(-1).topk(2, -1)
    shares = [(weights * (chosen == i)).sum(-1, keepdim=True) for i in range(len(m.experts))]
    return m.head(x + sum(share * e(x) for share, e in zip(shares, m.experts, strict=True)))  # type: ignore[no-any-return]


def spatial_attention(m: Any, x: Tensor) -> Tensor:
    y = m.a(x).relu()
    return m.head(means(m.b(y * y.max(1, keepdim=True)[0].sigmoid())).relu())  # type: ignore[no-any-return]


def predictions(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    score, label = m.classes(m.a(x).relu()).max(-1)
    return score, label


def with_buffers(layer: nn.Module, n: int) -> nn.Module:
    layer.register_buffer("mean", torch.randn(n, 1, 1))
    layer.register_buffer("mask", (torch.rand(n) > 0.3).float())
    return layer


def old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


def weights(*shapes: tuple[int, int]) -> nn.ParameterList:
    return nn.ParameterList([nn.Parameter(torch.randn(shape) / shape[0] ** 0.5) for shape in shapes])


def expert() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))


normed = parametrizations.weight_norm
IMAGES, VECTORS = torch.rand(2, 3, 8, 8), torch.rand(4, 8)

MODELS: dict[str, tuple[Callable[[], nn.Module], Any, set[str]]] = {
    "twins": (
        lambda: Model(twins, body=nn.Sequential(conv(3, 16), nn.ReLU(), conv(16, 24)), head=nn.Linear(48, 4)),
        (IMAGES, torch.rand(2, 3, 8, 8)),
        {"body.0.width", "body.2.width"},
    ),
    "outputs by name": (
        lambda: Model(
            by_name,
            body=conv(3, 16),
            heads=nn.ModuleDict({"a": nn.Linear(16, 4), "b": nn.Sequential(nn.Linear(16, 24), nn.Linear(24, 2))}),
        ),
        IMAGES,
        {"body.width", "heads.b.0.width"},
    ),
    "parameters alone": (
        lambda: Model(
            parameters_alone,
            w=weights((8, 16), (16, 24), (24, 4)),
            scales=nn.ParameterDict({"first": nn.Parameter(torch.randn(16))}),
        ),
        VECTORS,
        {"w.width", "w.width2"},
    ),
    "einsum": (lambda: Model(einsums, w=weights((24, 8), (24, 4))), VECTORS, {"w.width"}),
    "pixel shuffle": (
        lambda: Model(
            super_resolution, first=conv(3, 16), up=conv(16, 64), shuffle=nn.PixelShuffle(2), last=conv(16, 3)
        ),
        IMAGES,
        {"first.width", "up.width"},
    ),
    "transposed": (
        lambda: nn.Sequential(
            conv(3, 16, stride=2), nn.ConvTranspose2d(16, 24, 2, 2), nn.ReLU(), nn.ConvTranspose2d(24, 2, 3, padding=1)
        ),
        IMAGES,
        {"0.width", "1.width"},
    ),
    "buffers": (
        lambda: Model(buffers, body=with_buffers(conv(3, 16), 16), head=nn.Linear(16, 4)),
        IMAGES,
        {"body.width"},
    ),
    "in place": (
        lambda: Model(in_place, a=conv(3, 16), b=conv(16, 16), c=conv(16, 16), head=nn.Linear(16, 4)),
        IMAGES,
        {"a.width"},
    ),
    "twice the same": (
        lambda: Model(twice_the_same, a=conv(3, 16), b=conv(32, 24), head=nn.Linear(72, 4)),
        IMAGES,
        {"a.width", "b.width"},
    ),
    "by shape": (
        lambda: Model(
            by_shape, a=conv(3, 16), b=conv(16, 32), project=conv(16, 32, 1), c=conv(32, 32), head=nn.Linear(32, 4)
        ),
        IMAGES,
        {"a.width"},
    ),
    "experts": (
        lambda: Model(
            experts,
            embed=nn.Linear(8, 16),
            gate=nn.Linear(16, 2),
            experts=nn.ModuleList([expert(), expert()]),
            head=nn.Linear(16, 4),
        ),
        VECTORS,
        {"embed.width", "experts.0.0.width", "experts.1.0.width"},
    ),
    "gates": (
        lambda: nn.Sequential(conv(3, 32), nn.GLU(1), conv(16, 48), nn.GLU(1), conv(24, 4)),
        IMAGES,
        {"0.width", "2.width"},
    ),
    "spatial attention": (
        lambda: Model(spatial_attention, a=conv(3, 16), b=conv(16, 24), head=nn.Linear(24, 4)),
        IMAGES,
        {"a.width", "b.width"},
    ),
    "predictions": (
        lambda: Model(predictions, a=nn.Linear(8, 16), classes=nn.Linear(16, 24)),
        VECTORS,
        {"a.width"},
    ),
    "weight norm": (
        lambda: nn.Sequential(
            normed(conv(3, 16)), normed(conv(16, 16, groups=16)), normed(nn.ConvTranspose2d(16, 24, 2, 2)), conv(24, 4)
        ),
        IMAGES,
        {"0.width", "2.width"},
    ),
    "old weight norm": (
        lambda: nn.Sequential(*(old_weight_norm(layer) for layer in (conv(3, 16), conv(16, 24), conv(24, 4)))),
        IMAGES,
        {"0.width", "1.width"},
    ),
}
RESCALED = ("weight norm", "old weight norm")
"""Models whose weights are scaled by the length of what is left of them."""


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_members_compute_what_the_supernet_does(name: str) -> None:
    torch.manual_seed(0)
    make, given, varying = MODELS[name]
    model, example = make().eval(), Arguments.of(given)
    space = convert(model, example)
    assert {*space.plan.widths} == varying
    supernet = Supernet(space).eval()
    for arch in [space.smallest, *(space.sample(np.random.default_rng(seed)) for seed in range(10))]:
        member, extracted = space.build(arch).eval(), supernet.extract(arch).eval()
        found = list(tensors_in(example.call(member)))
        others = [example.call(extracted), supernet(example, arch)]
        others += [] if name in RESCALED else [example.call(silenced(model, space, arch))]
        for other in others:
            torch.testing.assert_close(found, list(tensors_in(other)))
        assert count_params(member) == count_params(extracted)
        assert count_macs(member, example) == count_macs(extracted, example)


def test_layers_with_computed_weights_have_the_numbers_of_their_weights() -> None:
    space = convert(MODELS["weight norm"][0](), IMAGES)
    layers: Any = space.build(space.smallest)
    assert [(each.in_channels, each.out_channels, each.groups) for each in layers] == [
        (3, 8, 1),
        (8, 8, 8),
        (8, 16, 1),
        (16, 4, 1),
    ]
    with torch.no_grad():
        old = MODELS["old weight norm"][0]()
        old(IMAGES)
    layers = convert(old, IMAGES).build(convert(old, IMAGES).smallest)
    assert [(each.in_channels, each.out_channels) for each in layers] == [(3, 8), (8, 16), (16, 4)]


def test_a_model_in_training_is_not_changed_by_reading_its_weights() -> None:
    """Spectral norm updates its buffers whenever a weight is read in training."""
    model = nn.Sequential(parametrizations.spectral_norm(conv(3, 16)), conv(16, 24), nn.ReLU(), conv(24, 4)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    space = convert(model, IMAGES)
    space.build(space.smallest)
    Supernet(space).extract(space.smallest)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
