"""Zero-cost proxies of networks, all on the same images."""

from typing import Any

import numpy as np
from ray import cloudpickle

from raynas.data.image_sets import load_images
from raynas.metrics import METRICS
from raynas.metrics.zero_cost import ZERO_COST, RankEnsemble, zero_cost_scores
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.search_spaces import NASBench201
from raynas.trials import ZeroCost
from tests.trials.proxies import ARCH, SPACE, scored


def test_the_ensemble_ranks_among_reference_architectures() -> None:
    settings = ZeroCost(proxies=["ensemble"], ensemble=["snip", "l2_norm"], n_reference=4, batch_size=8, seed=1)
    batch = settings.batch_of(load_images("digits"))
    rng = np.random.default_rng(1)
    reference = [
        zero_cost_scores(fresh_network(SPACE, SPACE.sample(rng), 1), batch, ["snip", "l2_norm"], seed=1).values
        for _ in range(4)
    ]
    ensemble = RankEnsemble({name: [values.get(name) for values in reference] for name in ("snip", "l2_norm")})
    result = scored(settings)
    assert result["ensemble"] == ensemble({name: result[name] for name in ("snip", "l2_norm")})
    assert result["ensemble"] == scored(settings)["ensemble"]


def test_costs_before_a_trial_are_what_trials_report() -> None:
    settings = ZeroCost(ensemble=["l2_norm"], n_reference=3, batch_size=8, seed=2)
    costs = settings.costs(NASBench201(channels=4, cells=1))  # for other images; the data decides
    assert costs.keys() == {"ensemble"} | {name for name, metric in METRICS.items() if metric.measure} > {*ZERO_COST}
    result = scored(settings, ["naswot", "zen", "ensemble"])
    for name in ("naswot", "zen", "ensemble"):
        assert costs[name](ARCH) == result[name]


def test_shared_arrays_may_be_read_only() -> None:
    runner = ZeroCost(proxies=["snip"], batch_size=8).runner(SPACE)
    expected = runner.run({"arch": dict(ARCH)})["snip"]
    buffers: list[Any] = []
    payload = cloudpickle.dumps(runner, protocol=5, buffer_callback=buffers.append)
    copied = cloudpickle.loads(payload, buffers=[bytes(buffer.raw()) for buffer in buffers])
    copied.raises = True
    copied.begin({"arch": dict(ARCH)})
    assert buffers and not copied.trial.scorer.batch.inputs.flags.writeable
    assert copied.run({"arch": dict(ARCH)})["snip"] == expected
