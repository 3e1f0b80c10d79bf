import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical
from raynas.core.metric import Candidate, Metric, Needs
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics import METRICS, ZERO_COST, Batch, Measurer, count_macs, count_params, zero_cost_scores
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.nn import Choice, ModelSpace

SHAPE = (3, 8, 8)


class Net(nn.Module):
    built: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({"small": lambda: nn.Conv2d(3, 4, 1), "large": lambda: nn.Conv2d(3, 4, 3, padding=1)})
        self.last = nn.Linear(4, 2)
        Net.built.append(self.last.weight.device.type)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


SPACE = ModelSpace(Net, input_shape=SHAPE)
SMALL, LARGE = Architecture({"first": "small"}), Architecture({"first": "large"})


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.randn((4, *SHAPE), generator=generator), torch.tensor([0, 1, 0, 1]))


def metric(measure: Callable[[Candidate], float], needs: Needs = "shapes", name: str = "mine") -> Metric:
    return Metric(name=name, mode="min", measure=measure, needs=needs)


def test_costs_are_those_of_the_network() -> None:
    measurer = Measurer(SPACE)
    for arch in (SMALL, LARGE):
        model = SPACE.build(arch)
        values = measurer.values([METRICS["params"], METRICS["macs"]], arch)
        assert values == {"params": count_params(model), "macs": count_macs(model, SHAPE)}


@pytest.mark.parametrize(
    ("needs", "device"), [("shapes", "meta"), ("weights", "cpu"), ("device", "cpu"), ("data", "cpu")]
)
def test_a_candidate_offers_what_the_metric_needs(needs: Needs, device: str) -> None:
    seen: list[Candidate] = []

    def look(candidate: Candidate) -> float:
        seen.append(candidate)
        assert next(candidate.model.parameters()).device.type == candidate.device.type == device
        assert candidate.example(2).shape == (2, *SHAPE) and candidate.example().device.type == device
        if needs == "data":
            assert len(candidate.batch[0]) == 4
        return float(candidate.params)

    measurer = Measurer(SPACE, n_threads=2, seed=3, batch=batch)
    assert measurer.value(metric(look, needs), SMALL) == count_params(SPACE.build(SMALL))
    (candidate,) = seen
    assert (candidate.space, candidate.arch, candidate.n_threads, candidate.seed) == (SPACE, SMALL, 2, 3)


def test_metrics_of_an_architecture_share_its_networks() -> None:
    measurer = Measurer(SPACE, batch=batch)
    mine = [metric(lambda c: c.macs + c.params + len(list(c.model.modules())), n, n) for n in ("weights", "device")]
    measurer.value(METRICS["params"], SMALL)  # reads the space off the model
    for arch in (LARGE, SMALL):
        Net.built.clear()
        measurer.values([METRICS["params"], METRICS["macs"], *mine, METRICS["synflow"], METRICS["naswot"]], arch)
        assert Net.built == ["meta", "cpu"]


def test_weights_are_those_that_trials_begin_with() -> None:
    def first_weight(candidate: Candidate) -> float:
        return float(candidate.model.get_parameter("last.weight").detach()[0, 0])

    value = Measurer(SPACE, seed=5).value(metric(first_weight, "weights"), SMALL)
    expected = fresh_network(SPACE, SMALL, 5).get_parameter("last.weight").detach()[0, 0]
    assert value == float(expected) != Measurer(SPACE, seed=6).value(metric(first_weight, "weights"), SMALL)


def test_measuring_leaves_global_randomness_alone_and_is_reproducible() -> None:
    noise = metric(lambda candidate: float(torch.rand(())), "weights")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = Measurer(SPACE).value(noise, SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert Measurer(SPACE).value(noise, SMALL) == first != Measurer(SPACE).value(noise, LARGE)


def test_proxies_are_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(model: nn.Module, data: Batch, names: Any, **options: Any) -> Any:
        calls.append(list(names))
        return zero_cost_scores(model, data, names, **options)

    monkeypatch.setattr("raynas.metrics.zero_cost.by_name.zero_cost_scores", counted)
    measurer = Measurer(SPACE, batch=batch, seed=4)
    proxies = [METRICS[name] for name in ("naswot", "snip", "synflow")]
    values = measurer.values([METRICS["params"], *proxies], SMALL)
    assert calls == [["naswot", "snip", "synflow"]]
    expected = zero_cost_scores(fresh_network(SPACE, SMALL, 4), batch(), ["naswot", "snip", "synflow"], seed=4)
    assert {name: values[name] for name in expected.values} == expected.values
    functions = measurer.functions(proxies)
    assert {name: function(LARGE) for name, function in functions.items()}.keys() == expected.values.keys()
    assert calls[1:] == [["naswot", "snip", "synflow"]]


def test_a_proxy_can_be_measured_by_itself() -> None:
    candidate = Measurer(SPACE, batch=batch).candidate(SMALL, "data")
    assert METRICS["snip"].measure is not None
    expected = ZERO_COST["snip"](fresh_network(SPACE, SMALL, 0), batch())
    assert METRICS["snip"].measure(candidate) == expected


def test_only_what_can_be_measured_is_offered() -> None:
    without = Measurer(SPACE)
    assert without.costs(METRICS.values()).keys() == {
        *("params", "macs", "activations", "inference_memory_mb", "size_mb", "latency_ms", "energy_mj"),
        *("synflow", "logsynflow", "zen", "l2_norm"),
    }
    assert Measurer(SPACE, batch=batch).costs(METRICS.values()).keys() >= {*ZERO_COST, "latency_ms"}
    with pytest.raises(RaynasError, match="naswot needs a batch"):
        without.functions([METRICS["naswot"]])
    with pytest.raises(RaynasError, match="accuracy cannot be measured: only a trial reports it"):
        without.value(METRICS["accuracy"], SMALL)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_what_needs_a_gpu_that_is_not_there_is_not_offered() -> None:
    measurer = Measurer(SPACE, device="cuda")
    assert "latency_ms" not in measurer.costs(METRICS.values()) and "macs" in measurer.costs(METRICS.values())
    with pytest.raises(RaynasError, match="latency_ms is measured on a GPU"):
        measurer.functions([METRICS["latency_ms"]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("needs", ["shapes", "weights"])
def test_a_value_must_be_a_finite_number(value: float, needs: Needs) -> None:
    with pytest.raises(RaynasError, match=f"mine is {value}, which is not a finite number"):
        Measurer(SPACE).value(metric(lambda candidate: value, needs), SMALL)


def test_what_a_measurement_raises_is_raised() -> None:
    def fail(candidate: Candidate) -> float:
        raise OSError("no such board")

    with pytest.raises(OSError, match="no such board"):
        Measurer(SPACE).value(metric(fail, "device"), SMALL)


def test_a_measurer_travels_without_networks() -> None:
    measurer = Measurer(SPACE, seed=2)
    value = measurer.value(METRICS["l2_norm"], SMALL)
    copy = pickle.loads(pickle.dumps(measurer))
    assert not copy._networks and copy.value(METRICS["l2_norm"], SMALL) == value


class ReadsValues(SearchSpace):
    """Networks that cannot be built without values."""

    input_shape = (2,)
    decisions = (Categorical("width", (3, 4)),)

    def build(self, arch: Any) -> nn.Module:
        return nn.Linear(2, int(torch.full((), int(arch["width"])).item()))


def test_networks_that_cannot_be_built_without_values_are_built_with_them() -> None:
    measurer = Measurer(ReadsValues())
    values = measurer.values([METRICS["params"], METRICS["macs"]], Architecture({"width": 4}))
    assert values == {"params": 12, "macs": 12}


def test_a_measurement_of_the_users_does_not_change_the_next() -> None:
    def careless(candidate: Candidate) -> float:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return 1.0

    needs: tuple[Needs, ...] = ("shapes", "weights")
    for metric in (Metric(name="careless", mode="min", measure=careless, needs=need) for need in needs):
        assert Measurer(SPACE).value(metric, SMALL) == 1.0
        assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
