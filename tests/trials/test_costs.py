"""Metrics that are measured before a trial."""

from collections.abc import Sequence

import pytest

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


def test_macs_may_be_missing_unless_they_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    arch = Architecture({"bias": True})
    costs = Costs(NeedsValues(), Training(), ["accuracy"])
    assert costs.measure(costs.metrics, arch) == {"params": 650} and "macs of" in caplog.text
    required = Costs(NeedsValues(), Training(), ["macs"])
    with pytest.raises(RaynasError):
        required.measure(required.metrics, arch)
