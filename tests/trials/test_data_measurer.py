"""Networks measured as they are for a data set."""

from collections.abc import Mapping

import pytest
from ray import cloudpickle

from raynas.metrics import METRICS, ZERO_COST, untrained_metrics
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.trials import Training, ZeroCost

SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
ARCH = from_arch_str("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|none~2|")
DISCONNECTED = from_arch_str("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
FAST = Training(epochs=1, data_fraction=0.1, resolution=6, warmup_epochs=0, seed=5)
PROXIES = {name for name, metric in METRICS.items() if metric.needs in ("weights", "data")}
WANTED = ["accuracy", "naswot", "zen"]


@pytest.fixture(scope="module")
def expected() -> dict[str, float]:
    """What ZeroCost says with the same data and seed."""
    result = ZeroCost(proxies=WANTED[1:], seed=5).evaluate(SPACE, ARCH)
    return {name: result[name] for name in WANTED[1:]}


def test_what_is_told_before_a_trial_is_what_trials_report(expected: Mapping[str, float]) -> None:
    costs = FAST.costs(NASBench201(channels=4, cells=1))  # for other images; the data decides
    assert {*ZERO_COST, "latency_ms"} == costs.keys()
    copied = cloudpickle.loads(cloudpickle.dumps(costs))
    for some in (costs, copied):
        assert {name: some[name](ARCH) for name in expected} == expected
        assert some["macs"](ARCH) == untrained_metrics(SPACE)["macs"](ARCH)
