"""Metrics that are measured before a trial."""

from collections.abc import Sequence

import pytest
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.metric import Metric
from raynas.errors import RaynasError
from raynas.metrics import count_macs, count_params
from raynas.trials import Function, Training
from raynas.trials.costs import Costs
from tests.trials.spaces import NeedsValues, TinyCnn

SPACE = TinyCnn()
ARCH = Architecture({"depth": 2, "kernel": 3})
SIZE = Metric(name="size_kb", mode="min", measure=lambda candidate: 4 * candidate.params / 1024)


def measured(costs: Costs) -> list[str]:
    return [metric.name for metric in costs.metrics]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (["accuracy"], ["params", "macs"]),
        (["accuracy", "latency_ms"], ["params", "macs", "latency_ms"]),
        (["nobody knows"], ["params", "macs"]),
        (
            [Metric(name="size", mode="min", measure=lambda candidate: 4.0 * candidate.params)],
            ["params", "macs", "size"],
        ),
    ],
)
def test_what_is_measured(metrics: Sequence[Metric | str], expected: list[str]) -> None:
    assert measured(Costs(SPACE, Training(), metrics)) == expected
    assert measured(Costs(SPACE, Training(), metrics, counted=())) == expected[2:]


def test_a_function_has_no_data_to_measure_with() -> None:
    assert measured(Costs(SPACE, Function(fn=len), ["naswot", "synflow"])) == ["params", "macs", "synflow"]


def test_values_are_those_of_the_network() -> None:
    costs = Costs(SPACE, Training(), ["accuracy"])
    network = SPACE.build(ARCH)
    expected = {"params": count_params(network), "macs": count_macs(network, SPACE.input_shape)}
    assert costs.measure(costs.metrics, ARCH) == expected


def test_a_network_that_reads_values_is_measured_too() -> None:
    costs = Costs(NeedsValues(), Training(), ["latency_ms"])
    values = costs.measure(costs.metrics, Architecture({"bias": True}))
    assert values["params"] == values["macs"] == 650 and values["latency_ms"] > 0


def test_what_cannot_be_measured_is_missing_unless_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(TinyCnn):
        def build(self, arch: Architecture) -> nn.Module:
            return nn.Bilinear(64, 1, 1)

    archs = [Architecture({"depth": 1, "kernel": kernel}) for kernel in (3, 5)]
    costs = Costs(Broken(), Training(), ["accuracy"])
    for arch in archs:
        assert list(costs.measure(costs.metrics, arch)) == ["params"]
    assert caplog.text.count("macs of") == 1, "said once"
    required = Costs(Broken(), Training(), ["macs"])
    with pytest.raises(RaynasError, match=r"multiply-adds of .* cannot be counted"):
        required.measure(required.metrics, archs[0])
