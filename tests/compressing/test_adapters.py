"""Nested adapters, and the search for their ranks under a budget."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.compressing.adapters import NestedAdapters, loss_of, ranks_by_sensitivity, search_ranks
from raynas.errors import InfeasibleError
from raynas.low_rank import AdapterSpace, adapter_space
from raynas.nn import Supernet
from raynas.strategies import RegularizedEvolution

Batches = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def case() -> tuple[AdapterSpace, Supernet, Batches, Batches]:
    """Return a model of three layers whose target differs in the second one, by a change of rank 2."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    space = adapter_space(model, torch.zeros(2, 10), ranks=(4, 2, 1, 0))
    target = space.build(space.default)
    with torch.no_grad():
        target.get_parameter("2.base.weight").add_(torch.randn(16, 2) @ torch.randn(2, 16))
        inputs = torch.randn(40, 32, 10)
        batches = [(x, target(x)) for x in inputs]
    supernet = NestedAdapters(loss=functional.mse_loss, epochs=6, learning_rate=1e-2).train(space, batches[:32])
    return space, supernet, batches[:32], batches[32:]


def test_training_of_nested_adapters_lowers_the_loss_of_patterns(
    case: tuple[AdapterSpace, Supernet, Batches, Batches],
) -> None:
    space, supernet, train, valid = case
    without = space.of_pattern(dict.fromkeys(space.ranks, 0))
    uniform = space.of_pattern(dict.fromkeys(space.ranks, 2))
    fresh = Supernet(space)
    assert loss_of(fresh, uniform, valid, functional.mse_loss) == loss_of(supernet, without, valid, functional.mse_loss)
    assert loss_of(supernet, uniform, valid, functional.mse_loss) < 0.8 * loss_of(
        supernet, without, valid, functional.mse_loss
    )
    again = NestedAdapters(loss=functional.mse_loss, epochs=6, learning_rate=1e-2).train(space, train)
    assert loss_of(again, uniform, valid, functional.mse_loss) == loss_of(supernet, uniform, valid, functional.mse_loss)


def test_both_ways_give_the_budget_to_the_layer_that_needs_it(
    case: tuple[AdapterSpace, Supernet, Batches, Batches], tmp_path: Path
) -> None:
    space, supernet, train, valid = case
    budget = 2 * 32  # rank 2 in the second layer
    by_sensitivity = ranks_by_sensitivity(space, supernet, train[:8], functional.mse_loss, budget=budget)
    assert space.pattern(by_sensitivity)["2"] >= 1 and space.n_trained(by_sensitivity) <= budget
    result = search_ranks(
        space,
        supernet,
        valid,
        functional.mse_loss,
        budget=budget,
        strategy=RegularizedEvolution(population_size=8, tournament_size=3),
        num_samples=6,
        points_to_evaluate=[by_sensitivity],
        path=tmp_path / "ranks",
    )
    best = result.best().arch
    assert space.n_trained(best) <= budget
    assert loss_of(supernet, best, valid, functional.mse_loss) <= loss_of(
        supernet, by_sensitivity, valid, functional.mse_loss
    )
    again = search_ranks(
        space,
        supernet,
        valid,
        functional.mse_loss,
        budget=budget,
        strategy=RegularizedEvolution(population_size=8, tournament_size=3),
        num_samples=8,  # the folder has six of them
        points_to_evaluate=[by_sensitivity],
        path=tmp_path / "ranks",
    )
    assert (len(result.evaluations), len(again.evaluations)) == (6, 8)


def test_a_budget_that_nothing_meets_is_said() -> None:
    space = adapter_space(nn.Linear(4, 4), torch.zeros(1, 4), ranks=(2, 1))
    supernet = Supernet(space)
    batches = [(torch.randn(3, 4), torch.randn(3, 4))]
    with pytest.raises(InfeasibleError, match="more parameters than the budget of 5"):
        ranks_by_sensitivity(space, supernet, batches, functional.mse_loss, budget=5)
