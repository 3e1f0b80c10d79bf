"""Proxies as metrics of architectures."""

import pytest

from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import untrained_metrics
from raynas.metrics.zero_cost import (
    ZERO_COST,
    Batch,
    zero_cost_scores,
)
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.search_spaces.nasbench201 import from_arch_str
from tests.metrics.zero_cost.networks import DEAD_EDGES, DISCONNECTED, SPACE, batch_of

ARCH = from_arch_str(DEAD_EDGES)


def test_proxies_without_data_are_untrained_metrics() -> None:
    names = ["synflow", "logsynflow", "zen", "l2_norm"]
    metrics = untrained_metrics(SPACE)
    assert metrics.keys() & ZERO_COST.keys() == {*names, "params", "macs"}
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
