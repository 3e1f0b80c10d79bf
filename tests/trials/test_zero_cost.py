"""Zero-cost proxies as trials, and as limits of a search."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from raynas.data.image_sets import load_images
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import untrained_metrics
from raynas.metrics.zero_cost import ENSEMBLE, zero_cost_scores
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.run.score_many import score_many
from raynas.strategies import RandomSearch
from raynas.trials import ZeroCost
from tests.trials.proxies import ARCH, DISCONNECTED, SPACE, scored


def test_scores_are_those_of_the_network_on_training_images() -> None:
    settings = ZeroCost(proxies=["naswot", "snip"], batch_size=16, seed=3)
    result = scored(settings)
    batch = settings.batch_of(load_images("digits"))
    expected = zero_cost_scores(fresh_network(SPACE, ARCH, 3), batch, ["naswot", "snip"], seed=3)
    assert {name: result[name] for name in ("naswot", "snip")} == expected.values
    assert result["complete"] == 1 and result["params"] > 0 and "fisher" not in result
    # The images are some of the training split, normalised, with their labels.
    data = load_images("digits")
    images = batch.inputs * torch.tensor(data.std).view(1, -1, 1, 1) + torch.tensor(data.mean).view(1, -1, 1, 1)
    for image, label in zip(images.permute(0, 2, 3, 1).numpy(), batch.labels, strict=True):
        same = np.abs(data.train.images - image).max((1, 2, 3)) < 1e-3
        assert label in data.train.labels[same]


def test_seed_decides_weights_and_batch() -> None:
    first, again, other = (scored(ZeroCost(seed=seed, batch_size=8), ["snip"])["snip"] for seed in (0, 0, 1))
    assert first == again != other
    assert scored(ZeroCost(seed=0, batch_size=9), ["snip"])["snip"] != first


def test_wanted_metrics_need_not_be_listed() -> None:
    result = scored(ZeroCost(batch_size=8), ["synflow", "macs"])
    assert result["synflow"] == untrained_metrics(SPACE)["synflow"](ARCH) and result["macs"] > 0
    assert not set(ENSEMBLE) - {"synflow"} & result.keys()
    assert set(ENSEMBLE) <= ZeroCost(batch_size=8).evaluate(SPACE, ARCH).keys()
    with pytest.raises(RaynasError, match=r"'accuracy' is wanted.*max:naswot"):
        ZeroCost().runner(SPACE, ["accuracy"])


def test_what_cannot_be_scored_is_a_failed_result() -> None:
    result = ZeroCost(batch_size=8).evaluate(SPACE, DISCONNECTED)
    assert result["failed"] == 1 and "do not depend on the input" in result["error"]
    assert not any(math.isfinite(result.get(name, math.nan)) for name in ENSEMBLE)


def test_a_hard_constraint_on_a_proxy_refuses_before_the_trial() -> None:
    costs = ZeroCost(batch_size=8).costs(SPACE)
    values = sorted(costs["naswot"](SPACE.sample(np.random.default_rng(i))) for i in range(5))
    searcher = RandomSearch().searcher(SPACE, "max:snip", constraints=f"naswot >= {values[2]}", seed=0, costs=costs)
    proposed = [searcher.suggest(str(i)) for i in range(3)]
    assert all(costs["naswot"](SPACE.from_config(config)) >= values[2] for config in proposed)
    assert searcher.archive.events("refused")


def test_in_bulk() -> None:
    settings = ZeroCost(proxies=["synflow", "jacob_cov"], batch_size=8)
    found = list(score_many(SPACE, [ARCH, DISCONNECTED], settings, workers=0))
    assert found[0].metrics["jacob_cov"] == scored(settings)["jacob_cov"]
    assert [each.status for each in found] == ["finished", "failed"]
    by_name = next(iter(score_many(SPACE, [ARCH], "synflow", workers=0)))
    assert by_name.metrics["synflow"] == found[0].metrics["synflow"]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2, got 1"),
        ({"n_reference": 1}, "n_reference must be a whole number of at least 2, got 1"),
        ({"bulk": -1}, "bulk must be a whole number of at least 0, got -1"),
        ({"ensemble": ()}, "ensemble must name at least one proxy"),
        ({"proxies": "naswot"}, "proxies must be a sequence of names, got 'naswot'"),
        ({"valid_share": 2}, "valid_share must be"),
        ({"image_size": 0}, "image_size must be"),
    ],
)
def test_settings_are_checked(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ZeroCost(**fields)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'naswot'"):
        ZeroCost(proxies=["naswott"])
    with pytest.raises(UnknownNameError, match="synflow"):
        ZeroCost(ensemble=["ensemble"])
    with pytest.raises(UnknownNameError, match="do not train"):
        ZeroCost().check_hyperparameters(["lr"])


def test_description_tells_what_scores_depend_on() -> None:
    assert ZeroCost(bulk=3, data_dir="elsewhere").description == "ZeroCost()"
    assert ZeroCost(proxies=["snip"], batch_size=32).description == "ZeroCost(proxies=('snip',), batch_size=32)"
