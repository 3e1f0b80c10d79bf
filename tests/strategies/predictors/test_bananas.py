import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raynas.strategies import BANANAS
from raynas.strategies.predictors.acquisition import thompson_sampling
from raynas.strategies.predictors.bananas import Networks, NetworksPredictor, optimise, relative_error
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.ensemble import inputs
from raynas.strategies.predictors.predictor import Posterior
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=4)
SMALL: dict[str, Any] = {"n_steps": 100, "n_more_steps": 30, "width": 32, "depth": 2}


def pool(space: ToySpace = SPACE) -> CandidatePool:
    found = CandidatePool(space)
    found.add(space.enumerate())
    return found


def accuracies(given: CandidatePool) -> NDArray[np.float64]:
    values = np.array([SPACE.accuracy(arch) for arch in given.archs])
    return np.asarray((values - values.mean()) / values.std())


def fitted(n: int, **settings: Any) -> tuple[CandidatePool, NetworksPredictor, list[int]]:
    given, rng = pool(), np.random.default_rng(0)
    predictor = BANANAS(**settings).make_predictor()
    observed = [int(i) for i in rng.choice(len(given), n, replace=False)]
    predictor.fit(given, observed, accuracies(given)[observed], rng)
    return given, predictor, observed


def test_the_ensemble_is_that_many_networks() -> None:
    networks = Networks(3, [4, 6, 5, 1], torch.Generator().manual_seed(0))
    x = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(1))
    for i in range(3):
        layers: list[torch.nn.Module] = []
        for weight, bias in zip(networks.weights, networks.biases, strict=True):
            linear = torch.nn.Linear(*weight.shape[1:])
            linear.weight.data, linear.bias.data = weight[i].T, bias[i, 0]
            layers += [linear, torch.nn.ReLU()]
        alone = torch.nn.Sequential(*layers[:-1])
        torch.testing.assert_close(networks(x)[i], alone(x[i])[:, 0])


def test_the_loss_is_the_paper_s() -> None:
    """To be off by 1 costs more for what is good."""
    loss = relative_error(torch.tensor([[2.0, 10.0], [1.0, 9.0]]), torch.tensor([[1.0, 9.0], [1.0, 9.0]]))
    torch.testing.assert_close(loss, torch.tensor([(1 + 1 / 9) / 2, 0.0]))


def test_it_learns_what_is_not_linear() -> None:
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    gaps = torch.tensor([1.0, 2.0, 2.0, 1.0])
    generator = torch.Generator().manual_seed(0)
    networks = Networks(5, [2, 32, 32, 1], generator)
    optimise(networks, x, gaps, 400, 0.01, generator)
    assert (networks(x.expand(5, -1, -1)) - gaps).abs().max() < 0.25
    assert not any(parameter.requires_grad for parameter in networks.parameters)


def test_it_predicts_what_it_has_not_seen() -> None:
    given, predictor, observed = fitted(60)
    new = [i for i in range(len(given)) if i not in observed]
    posterior = predictor.posterior(given, accuracies(given)[observed], [], np.random.default_rng(0))
    assert np.corrcoef(posterior.mean[new], accuracies(given)[new])[0, 1] > 0.9


def test_the_spread_grows_away_from_the_data() -> None:
    """The networks have seen the neighbourhood of one architecture, and nothing of what is far from it."""
    given = pool()
    encodings = np.stack([SPACE.encode(arch) for arch in given.archs])
    distances = np.abs(encodings - encodings[0]).sum(axis=1)
    near, far = np.flatnonzero(distances <= 2), np.flatnonzero(distances >= 8)
    predictor, targets = BANANAS().make_predictor(), accuracies(given)[near]
    predictor.fit(given, [int(i) for i in near], targets, np.random.default_rng(0))
    spread = predictor.posterior(given, targets, [], np.random.default_rng(0)).std
    assert np.median(spread[far]) > 3 * np.median(spread[near])


def test_thompson_sampling_is_one_draw_per_candidate() -> None:
    """Two candidates of the same posterior do not rise and fall together, as those of one network would."""
    posterior, rng = Posterior(np.array([1.0, 1.0]), np.array([2.0, 2.0])), np.random.default_rng(0)
    draws = np.array([thompson_sampling(posterior, 0.0, 1.0, rng) for _ in range(4000)])
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.05
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.15)
    np.testing.assert_allclose(draws.std(axis=0), 2, rtol=0.05)


def test_later_fits_go_on_from_where_the_networks_stand() -> None:
    given, predictor, observed = fitted(20, n_more_steps=1, learning_rate=1e-3)
    before, networks = [p.clone() for p in predictor.networks.parameters], predictor.networks  # type: ignore[union-attr]
    predictor.fit(given, [*observed, 0], accuracies(given)[[*observed, 0]], np.random.default_rng(1))
    assert predictor.networks is networks
    steps = [float((a - b).abs().max()) for a, b in zip(networks.parameters, before, strict=True)]  # type: ignore[union-attr]
    assert 0 < max(steps) <= 1.01e-3  # Adam's first step is the learning rate
    anew = BANANAS(n_more_steps=0, n_steps=5).make_predictor()
    anew.fit(given, observed, accuracies(given)[observed], np.random.default_rng(1))
    first = anew.networks
    anew.fit(given, observed, accuracies(given)[observed], np.random.default_rng(1))
    assert anew.networks is not first


def test_fitting_leaves_torch_as_it_was() -> None:
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        _, predictor, _ = fitted(20, **SMALL)
    _, again, _ = fitted(20, **SMALL)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == n_threads
    assert predictor.networks is not None and again.networks is not None
    assert all(torch.equal(a, b) for a, b in zip(predictor.networks.parameters, again.networks.parameters, strict=True))


def test_the_members_differ() -> None:
    given, predictor, _ = fitted(30, n_networks=7, **SMALL)
    assert len({row.tobytes() for row in predictor.predict(inputs(given, "all"))}) == 7


@pytest.mark.parametrize("settings", [{}, {"encoding": "path", "acquisition": "thompson", "max_enumerated": 0}])
def test_it_finds_the_optimum_of_a_sum_soon(settings: dict[str, Any]) -> None:
    space = ToySpace(n_layers=5, n_options=4)  # of 1,280 members
    configs = run_trials(BANANAS(**settings).searcher(space, costs={}), space.result, 40)
    assert max(space.accuracy(config["arch"]) for config in configs) >= 0.93


def test_a_batch_is_spread() -> None:
    searcher = BANANAS(acquisition="thompson", **SMALL).searcher(SPACE, costs={})
    run_trials(searcher, SPACE.result, 15)
    archs = {SPACE.from_config(searcher.suggest(f"next {i}")) for i in range(8)}
    assert len(archs) == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_networks": 1}, "n_networks must be at least 2, got 1"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"n_more_steps": -1}, "n_more_steps must be at least 0, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive, got nan"),
        ({"encoding": "adjacency"}, "encoding must be one of all, path, decisions, got 'adjacency'"),
        ({"n_initial": 1}, "n_initial must be at least 2, got 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BANANAS(**settings)
