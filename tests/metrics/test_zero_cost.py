"""Zero-cost proxies against their formulas, written out by loops and by numpy."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import untrained_metrics
from raynas.metrics.zero_cost import (
    ZERO_COST,
    Batch,
    RankEnsemble,
    rank_ensemble,
    zero_cost_scores,
)
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.metrics.zero_cost.twice import convolve, normalise
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str

SPACE = NASBench201(channels=4, cells=1, input_shape=(3, 8, 8), n_classes=3)
DEAD_EDGES = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|none~2|"
"""Two convolutions lead to the output only through zeros."""

DISCONNECTED = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"


class Tiny(nn.Module):
    """Convolution, batch norm, ReLU, a layer that nothing uses, pooling, linear; with what a copy must not change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(2, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.relu(self.norm(self.conv(x)))).flatten(1))
        return out


def made(make: Callable[[], nn.Module] = Tiny, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make()


def batch_of(n: int = 6, shape: tuple[int, ...] = (2, 4, 4), n_classes: int = 3, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn((n, *shape), generator=generator), torch.arange(n) % n_classes)


def loss_and_weights(model: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return cross_entropy(model.train()(batch.images), batch.labels), weights


def weight_gradients(model: nn.Module, batch: Batch) -> list[tuple[Any, Any]]:
    """The weights and gradients of used layers, as numpy arrays, by plain ``backward``."""
    model = copy.deepcopy(model).double()
    loss, weights = loss_and_weights(model, Batch(batch.images.double(), batch.labels))
    loss.backward()
    return [(w.detach().numpy(), w.grad.numpy()) for w in weights if w.grad is not None]


def jacobian(model: nn.Module, images: Tensor) -> Any:
    model = copy.deepcopy(model).double().train()
    found = torch.autograd.functional.jacobian(lambda x: model(x).sum(), images.double())
    assert isinstance(found, Tensor)
    return found.flatten(1).numpy()


MODEL, BATCH = made(), batch_of()
close = partial(pytest.approx, rel=2e-4)


def test_grad_norm_is_the_sum_of_the_layers_norms() -> None:
    expected = sum(np.sqrt((g**2).sum()) for _, g in weight_gradients(MODEL, BATCH))
    assert ZERO_COST["grad_norm"](MODEL, BATCH) == close(expected)


def test_snip_is_the_sum_of_weight_times_gradient() -> None:
    expected = sum(np.abs(w * g).sum() for w, g in weight_gradients(MODEL, BATCH))
    assert ZERO_COST["snip"](MODEL, BATCH) == close(expected)


def test_another_loss_is_used() -> None:
    zero = ZERO_COST["snip"](MODEL, BATCH, lambda outputs, labels: 2 * cross_entropy(outputs, labels))
    assert zero == close(2 * ZERO_COST["snip"](MODEL, BATCH))


@pytest.mark.parametrize("smooth", [True, False])
def test_grasp_is_minus_weights_times_hessian_times_gradient(smooth: bool) -> None:
    """The Hessian is made whole, row by row, in float64."""
    activation: nn.Module = nn.Tanh() if smooth else nn.ReLU()
    model = made(lambda: nn.Sequential(nn.Conv2d(2, 3, 3), activation, nn.Flatten(), nn.Linear(12, 3)))
    exact = copy.deepcopy(model).double()
    names = ["0.weight", "3.weight"]
    sizes = [54, 36]
    start = torch.cat([dict(exact.named_parameters())[name].detach().flatten() for name in names])

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split(sizes)
        given = {n: p.view_as(exact.get_parameter(n)) for n, p in zip(names, parts, strict=True)}
        outputs = torch.func.functional_call(exact, given, (BATCH.images.double(),))
        return cross_entropy(outputs, BATCH.labels)

    hessian = torch.autograd.functional.hessian(loss, start)
    gradient = torch.autograd.functional.jacobian(loss, start)
    assert isinstance(hessian, Tensor) and isinstance(gradient, Tensor)
    expected = -float(start @ hessian @ gradient)
    assert ZERO_COST["grasp"](model, BATCH) == pytest.approx(expected, rel=1e-4)


def test_grasp_through_batch_norm() -> None:
    exact = made(lambda: nn.Sequential(nn.Conv2d(2, 6, 4, bias=False), nn.BatchNorm2d(6), nn.Flatten())).double()
    with torch.no_grad():
        exact[1].weight.normal_()  # type: ignore[index]
    batch = batch_of(12, n_classes=6)
    weight = exact[0].weight  # type: ignore[index]
    loss = cross_entropy(exact(batch.images.double()), batch.labels)
    (first,) = torch.autograd.grad(loss, weight, create_graph=True)
    (second,) = torch.autograd.grad((first * first.detach()).sum(), weight)
    assert ZERO_COST["grasp"](exact.float(), batch) == close(-float((weight * second).detach().sum()))


def test_grasp_of_scale_invariant_weights_is_their_squared_gradient() -> None:
    """Before batch norm L(cw) = L(w), so that Hw = -g (the norm's epsilon set aside)."""
    model = made(lambda: nn.Sequential(nn.Conv2d(2, 6, 4, bias=False), nn.BatchNorm2d(6, eps=1e-12), nn.Flatten()))
    batch = batch_of(12, n_classes=6)
    expected = sum((g**2).sum() for _, g in weight_gradients(model, batch))
    assert ZERO_COST["grasp"](model, batch) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (1, 2, 2)])
def test_derivatives_of_convolutions(groups: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 4 // groups, 3, 3, dtype=torch.float64, requires_grad=True)
    settings = ((stride, stride), (padding, padding), (dilation, dilation), groups)
    function = partial(convolve, settings=settings)
    assert torch.equal(function(x, weight), nn.functional.conv2d(x, weight, None, *settings))
    assert torch.autograd.gradcheck(function, (x, weight))
    assert torch.autograd.gradgradcheck(function, (x, weight))


@pytest.mark.parametrize("affine", [True, False])
def test_derivatives_of_batch_norm(affine: bool) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, eps=0.1, affine=affine).double()
    if norm.affine:
        norm.weight.data.normal_()
    x = torch.randn(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(normalise(norm, x), norm(x))
    assert torch.autograd.gradcheck(partial(normalise, norm), (x,))
    assert torch.autograd.gradgradcheck(partial(normalise, norm), (x,))


def test_fisher_sums_squares_of_what_a_channel_contributes() -> None:
    model = copy.deepcopy(MODEL).double().train()
    maps = []
    for layer in (model.conv, model.head):

        def keep(module: nn.Module, args: Any, output: Tensor) -> None:
            output.retain_grad()
            maps.append(output)

        layer.register_forward_hook(keep)  # type: ignore[union-attr]
    model.relu.inplace = False  # type: ignore[union-attr]
    cross_entropy(model(BATCH.images.double()), BATCH.labels).backward()
    expected = 0.0
    for each in maps:
        assert each.grad is not None
        for channel in range(each.shape[1]):
            inner = [float((each[n, channel].detach() * each.grad[n, channel]).sum()) for n in range(len(each))]
            expected += sum(value**2 for value in inner) / (2 * len(each))
    assert len(maps) == 2 and ZERO_COST["fisher"](MODEL, BATCH) == close(expected)


def test_zico_is_the_log_of_mean_over_deviation() -> None:
    halves = [Batch(BATCH.images[part], BATCH.labels[part]) for part in (slice(3), slice(3, 6))]
    expected = 0.0
    for (_, a), (_, b) in zip(*(weight_gradients(MODEL, half) for half in halves), strict=True):
        both = np.stack([a, b])
        expected += math.log((np.abs(both).mean(0) / both.std(0)).sum())
    assert ZERO_COST["zico"](MODEL, BATCH) == pytest.approx(expected, rel=1e-3)


def test_l2_norm_and_counts() -> None:
    used = [MODEL.get_parameter(f"{name}.weight") for name in ("conv", "unused", "head")]
    expected = sum(np.sqrt((w.detach().numpy() ** 2).sum()) for w in used)
    assert ZERO_COST["l2_norm"](MODEL, BATCH) == close(expected)
    assert ZERO_COST["params"](MODEL, BATCH) == 5 * 2 * 9 + 10 + 4 * 2 * 9 + 4 + 5 * 3 + 3
    assert ZERO_COST["macs"](MODEL, BATCH) == 5 * 2 * 9 * 16 + 5 * 3 + 3


def positive_flow(model: nn.Module, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    model = copy.deepcopy(model).double().eval()
    model.norm = nn.Identity()
    for parameter in model.parameters():
        parameter.data.abs_()
    model(torch.ones((1, *shape), dtype=torch.float64)).sum().backward()
    used = (model.conv.weight, model.head.weight)  # type: ignore[union-attr]
    return [(w.detach().numpy(), w.grad.numpy()) for w in used]  # type: ignore[operator, union-attr]


def test_synflow_and_logsynflow_without_normalisation() -> None:
    model = copy.deepcopy(MODEL)
    model.norm.running_var.fill_(7)  # type: ignore[operator, union-attr]  # must not matter
    pairs = positive_flow(model, (2, 4, 4))
    assert ZERO_COST["synflow"](model, BATCH) == close(sum((w * g).sum() for w, g in pairs))
    assert ZERO_COST["logsynflow"](model, BATCH) == close(sum((w * np.log(g + 1)).sum() for w, g in pairs))


def test_synflow_sums_the_paths_of_each_layer() -> None:
    """Tanaka et al., section 4: without biases every layer's flow is the same R, the sum over paths of |w| products."""
    model = made(lambda: nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(3))))
    product = np.linalg.multi_dot([p.detach().abs().numpy().T for p in model.parameters()])
    assert ZERO_COST["synflow"](model, batch_of(2, (3,))) == close(3 * product.sum())


def test_synflow_goes_beyond_the_range_of_float32() -> None:
    model = made(lambda: nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(6))))
    for parameter in model.parameters():
        parameter.data.fill_(1e10)
    assert ZERO_COST["synflow"](model, batch_of(2, (2,))) == pytest.approx(6 * 2**7 * 1e60, rel=1e-4)


def test_jacob_cov_of_eigenvalues() -> None:
    values = np.linalg.eigvals(np.corrcoef(jacobian(MODEL, BATCH.images))).real + 1e-5
    expected = -np.sum(np.log(values) + 1 / values)
    assert ZERO_COST["jacob_cov"](MODEL, BATCH) == pytest.approx(expected, rel=2e-3)


def test_epe_nas_within_classes() -> None:
    rows, expected = jacobian(MODEL, BATCH.images), 0.0
    for label in range(3):
        correlations = np.corrcoef(rows[BATCH.labels.numpy() == label])
        expected += abs(np.log(np.abs(correlations) + 1e-5).sum())
    assert ZERO_COST["epe_nas"](MODEL, BATCH) == pytest.approx(expected, rel=1e-3)


def test_epe_nas_compares_classes_where_there_are_many() -> None:
    model = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 101)))
    batch = batch_of(9)
    rows, found = jacobian(model, batch.images), []
    for label in range(3):
        members = rows[batch.labels.numpy() == label]
        found.append(np.log(np.abs(np.corrcoef(members)) + 1e-5).sum() / len(members))
    expected = sum(abs(a - b) for a in found for b in found) / 3
    assert ZERO_COST["epe_nas"](model, batch) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.SiLU(), nn.Hardswish(), nn.ReLU6()])
def test_naswot_counts_agreeing_units(activation: nn.Module) -> None:
    model = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 30), activation, nn.Linear(30, 20), nn.ReLU()))
    with torch.no_grad():
        first = model[:2](BATCH.images)  # type: ignore[index]
        second = model[3](activation(first.clone()))  # type: ignore[index]
    codes = torch.cat([first > 0, second > 0], 1).numpy()
    kernel = np.array([[float((a == b).sum()) for a in codes] for b in codes])
    assert ZERO_COST["naswot"](model, BATCH) == pytest.approx(math.log(np.linalg.det(kernel)), rel=1e-6)


def test_naswot_sees_functions_that_are_no_modules() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(32, 30)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.layer(x.flatten(1)))

    model = made(Functional)
    as_module = nn.Sequential(nn.Flatten(), model.get_submodule("layer"), nn.ReLU())
    assert ZERO_COST["naswot"](model, BATCH) == ZERO_COST["naswot"](as_module, BATCH)


def test_zen_by_hand() -> None:
    """Two linear maps around a batch norm; weights, input and perturbation are drawn in the order of the code."""
    model = made(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)))
    batch = batch_of(32, (4,))
    found = ZERO_COST["zen"](model, batch, seed=3)
    torch.manual_seed(3)
    first, _ = torch.randn(5, 4), torch.randn(3, 5)
    x, e = torch.randn(32, 4), torch.randn(32, 4)

    def features(inputs: Tensor) -> tuple[Any, Any]:
        a = (inputs @ first.T).numpy().astype(np.float64)
        return (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-5), a.var(0)

    (before, variance), (after, _) = features(x), features(x + 0.01 * e)
    distance = np.mean([np.linalg.norm(row) for row in before - after])
    assert found == pytest.approx(math.log(distance) + math.log(math.sqrt(variance.mean())), rel=1e-3)


def test_zen_does_not_depend_on_data_or_weights() -> None:
    other = made(seed=5)
    assert ZERO_COST["zen"](MODEL, BATCH) == ZERO_COST["zen"](other, batch_of(seed=8))
    assert ZERO_COST["zen"](MODEL, BATCH, seed=1) != ZERO_COST["zen"](MODEL, BATCH, seed=2)


# --- the model stays as it is ----------------------------------------------------------------------------------------


def state_of(model: nn.Module) -> dict[str, Any]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {n: (t.detach().clone(), t.stride(), t.dtype, t._version) for n, t in tensors.items()},
        "gradients": {n: None if t.grad is None else t.grad.clone() for n, t in tensors.items()},
        "requires": {n: t.requires_grad for n, t in tensors.items()},
        "modes": {n: m.training for n, m in model.named_modules()},
        "forwards": {n: "forward" in vars(m) for n, m in model.named_modules()},
        "hooks": {n: len(m._forward_hooks) + len(m._forward_pre_hooks) for n, m in model.named_modules()},
        "inplace": {n: getattr(m, "inplace", None) for n, m in model.named_modules()},
    }


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, dict | tuple):
        assert len(a) == len(b)
        for x, y in zip(
            a.values() if isinstance(a, dict) else a, b.values() if isinstance(b, dict) else b, strict=True
        ):
            assert_same(x, y)
    else:
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("name", ZERO_COST)
def test_the_model_is_not_touched(name: str) -> None:
    model = made()
    model.conv.requires_grad_(False)
    model.norm.eval()  # type: ignore[union-attr]
    model.head.weight.grad = torch.full((3, 5), 2.0)  # type: ignore[union-attr]
    model.register_buffer("counter", torch.arange(3))
    before, generator = state_of(model), torch.get_rng_state()
    ZERO_COST[name](model, BATCH)
    assert_same(before, state_of(model))
    assert torch.equal(generator, torch.get_rng_state())


def test_frozen_weights_count_like_others() -> None:
    frozen = copy.deepcopy(MODEL)
    frozen.requires_grad_(False)
    assert zero_cost_scores(frozen, BATCH, ZERO_COST) == zero_cost_scores(MODEL, BATCH, ZERO_COST)


# --- together, alone, again ------------------------------------------------------------------------------------------


class WithDropout(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.functional.dropout(super().forward(x), 0.5, self.training)
        return out


@pytest.mark.parametrize("make", [Tiny, WithDropout])
def test_scores_depend_on_the_seed_alone(make: type[nn.Module]) -> None:
    model = made(make)
    together = zero_cost_scores(model, BATCH, ZERO_COST, seed=2)
    assert not together.failures
    for name, proxy in ZERO_COST.items():
        torch.rand(3)
        assert proxy(model, BATCH, seed=2) == pytest.approx(together.values[name], rel=1e-5), name
    assert zero_cost_scores(model, BATCH, reversed(list(ZERO_COST)), seed=2) == together


def test_callers_under_inference_mode_get_the_same() -> None:
    expected = zero_cost_scores(MODEL, BATCH, ZERO_COST)
    with torch.inference_mode():
        assert zero_cost_scores(MODEL, BATCH, ZERO_COST) == expected


def test_proxies_share_one_forward_pass() -> None:
    calls = []

    class Counted(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return super().forward(x)

    model = made(Counted)
    shared = ["grad_norm", "snip", "fisher", "jacob_cov", "epe_nas", "naswot"]
    zero_cost_scores(model, BATCH, shared)
    assert calls == [6]
    calls.clear()
    zero_cost_scores(model, BATCH, ["synflow", "logsynflow"])
    assert calls == [1]


# --- dead edges and failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZERO_COST)
def test_dead_edges_are_no_obstacle(name: str) -> None:
    model = fresh_network(SPACE, from_arch_str(DEAD_EDGES), 0)
    assert math.isfinite(ZERO_COST[name](model, batch_of(8, (3, 8, 8))))


def test_what_cannot_be_scored_fails_in_one_line() -> None:
    model = fresh_network(SPACE, from_arch_str(DISCONNECTED), 0)
    scores = zero_cost_scores(model, batch_of(8, (3, 8, 8)), ZERO_COST)
    assert {"jacob_cov", "epe_nas", "zen"} <= scores.failures.keys()
    assert not scores.values.keys() & scores.failures.keys()
    assert scores.values.keys() | scores.failures.keys() == ZERO_COST.keys()
    assert all(math.isfinite(value) for value in scores.values.values())
    assert all(reason and "\n" not in reason for reason in scores.failures.values())
    with pytest.raises(RaynasError, match="do not depend on the input"):
        ZERO_COST["jacob_cov"](model, batch_of(8, (3, 8, 8)))


@pytest.mark.parametrize("name", sorted(ZERO_COST.keys() - {"params", "macs", "zen"}))
def test_weights_that_are_not_numbers_give_no_score(name: str) -> None:
    model = made()
    for parameter in model.parameters():
        parameter.data.fill_(math.nan)
    with pytest.raises(RaynasError):
        ZERO_COST[name](model, BATCH)


def test_naswot_refuses_what_it_cannot_tell_apart() -> None:
    with pytest.raises(RaynasError, match="none"):
        ZERO_COST["naswot"](nn.Sequential(nn.Flatten(), nn.Linear(32, 3)), BATCH)
    same = Batch(BATCH.images[:1].repeat(4, 1, 1, 1), BATCH.labels[:4])
    with pytest.raises(RaynasError, match="the same everywhere"):
        ZERO_COST["naswot"](MODEL, same)


def test_misuse_is_told() -> None:
    with pytest.raises(UnknownNameError, match="naswot"):
        zero_cost_scores(MODEL, BATCH, ["naswott"])
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        zero_cost_scores(MODEL, batch_of(1), ["snip"])

    class Pair(Tiny):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), x

    with pytest.raises(RaynasError, match="got a tuple"):
        ZERO_COST["snip"](made(Pair), BATCH)


# --- the ensemble ----------------------------------------------------------------------------------------------------


def test_rank_ensemble_is_the_mean_rank() -> None:
    scores: dict[str, list[float | None]] = {"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 10.0, None, 30.0]}
    # b's ranks from 0: the missing one 0, the equal ones 1.5 each, the last 3.
    assert rank_ensemble(scores) == pytest.approx(np.array([1.5, 2.5, 2, 6]) / 2 / 3)
    assert list(rank_ensemble({"a": [math.nan, 1.0]})) == [0, 1]
    with pytest.raises(ValueError, match=r"got \[1, 2\]"):
        rank_ensemble({"a": [1.0], "b": [1.0, 2.0]})


def test_reference_ensemble_grows_with_every_score() -> None:
    ensemble = RankEnsemble({"a": [1.0, 2.0, 3.0, None], "b": [0.0, 0.0, 5.0, 9.0]})
    assert ensemble({"a": 2.0, "b": 5.0}) == pytest.approx((2.5 / 4 + 2.5 / 4) / 2)
    path = [ensemble({"a": a, "b": 5.0}) for a in (-100.0, 0.9, 1.0, 1.5, 2.0, 3.0, 3.1, 1e30)]
    assert path == sorted(path) and len(set(path)) == len(path)
    assert path[0] >= 0 and path[-1] <= 1
    with pytest.raises(ValueError, match="no finite score for any of 2"):
        RankEnsemble({"a": [None, math.nan]})


# --- by name ---------------------------------------------------------------------------------------------------------

ARCH = from_arch_str(DEAD_EDGES)


def test_proxies_without_data_are_untrained_metrics() -> None:
    names = ["synflow", "logsynflow", "zen", "l2_norm"]
    metrics = untrained_metrics(SPACE)
    assert metrics.keys() == {*names, "params", "macs", "latency_ms"}
    network = fresh_network(SPACE, ARCH, 0)
    for name in ("synflow", "logsynflow", "l2_norm"):
        assert metrics[name](ARCH) == ZERO_COST[name](network, batch_of(2, (3, 8, 8))) == metrics[name](ARCH)
    assert metrics["params"](ARCH) == ZERO_COST["params"](network, batch_of(2, (3, 8, 8)))


def test_all_proxies_are_untrained_metrics_with_a_batch() -> None:
    batch, drawn = batch_of(8, (3, 8, 8)), []

    def draw() -> Batch:
        drawn.append(1)
        return batch

    metrics = untrained_metrics(SPACE, ["naswot", "snip", "macs"], batch=draw, seed=4)
    expected = zero_cost_scores(fresh_network(SPACE, ARCH, 4), batch, ["naswot", "snip"], seed=4)
    assert {name: metrics[name](ARCH) for name in ("naswot", "snip")} == expected.values
    assert drawn == [1]
    assert untrained_metrics(SPACE, batch=draw, seed=4)["naswot"](ARCH) == expected.values["naswot"]
    broken = untrained_metrics(SPACE, ["jacob_cov"], batch=draw)["jacob_cov"]
    with pytest.raises(RaynasError, match="do not depend on the input"):
        broken(from_arch_str(DISCONNECTED))
    with pytest.raises(RaynasError, match="naswot needs a batch"):
        untrained_metrics(SPACE, ["naswot"])
    with pytest.raises(UnknownNameError, match="synflow"):
        untrained_metrics(SPACE, ["sinflow"])
