"""Networks measured as they are for a data set."""

from collections.abc import Mapping

import pytest
from ray import cloudpickle

from raynas.metrics import METRICS, untrained_metrics
from raynas.search_spaces import NASBench201
from tests.trials.proxies import ARCH, FAST, SPACE, expected_scores


@pytest.fixture(scope="module")
def expected() -> dict[str, float]:
    return expected_scores()


def test_what_is_told_before_a_trial_is_what_trials_report(expected: Mapping[str, float]) -> None:
    costs = FAST.costs(NASBench201(channels=4, cells=1))  # for other images; the data decides
    assert {metric.name for metric in METRICS.values() if metric.measure} == costs.keys()
    copied = cloudpickle.loads(cloudpickle.dumps(costs))
    for some in (costs, copied):
        assert {name: some[name](ARCH) for name in expected} == expected
        assert some["macs"](ARCH) == untrained_metrics(SPACE)["macs"](ARCH)
