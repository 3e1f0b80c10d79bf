"""Passes that proxies share; models stay untouched."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics.zero_cost import (
    ZERO_COST,
    zero_cost_scores,
)
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.search_spaces.nasbench201 import from_arch_str
from tests.metrics.zero_cost.networks import BATCH, DEAD_EDGES, DISCONNECTED, MODEL, SPACE, Tiny, batch_of, close, made


def test_another_loss_is_used() -> None:
    zero = ZERO_COST["snip"](MODEL, BATCH, lambda outputs, labels: 2 * cross_entropy(outputs, labels))
    assert zero == close(2 * ZERO_COST["snip"](MODEL, BATCH))


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


def test_misuse_is_told() -> None:
    with pytest.raises(UnknownNameError, match="naswot"):
        zero_cost_scores(MODEL, BATCH, ["naswott"])
    with pytest.raises(ValueError, match="at least 2 examples, got 1"):
        zero_cost_scores(MODEL, batch_of(1), ["snip"])

    class Pair(Tiny):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), x

    with pytest.raises(RaynasError, match="got a tuple"):
        ZERO_COST["snip"](made(Pair), BATCH)
