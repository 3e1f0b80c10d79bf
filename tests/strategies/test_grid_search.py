import pytest
from ray import cloudpickle, tune

from raynas.errors import SpaceError
from raynas.strategies import GridSearch
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=2, n_options=3)
GRID = ["0 0", "0 1", "0 2", "1 0", "1 1", "1 2"]
GRID += ["2 0 linear", "2 0 cosine", "2 1 linear", "2 1 cosine", "2 2 linear", "2 2 cosine"]


def test_golden_trajectory() -> None:
    """Every canonical architecture once: the head varies only where it is active."""
    configs = run_trials(GridSearch().searcher(SPACE, costs={}), SPACE.result, 100)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == GRID


def test_hyperparameters_vary_fastest() -> None:
    searcher = GridSearch().searcher(SPACE, costs={}, hyperparameters={"lr": tune.choice([0.1, 0.2])})
    configs = run_trials(searcher, SPACE.result, 4)
    assert [config["lr"] for config in configs] == [0.1, 0.2, 0.1, 0.2]
    assert [config["arch"]["layers.1"] for config in configs] == [0, 0, 1, 1]


@pytest.mark.parametrize("n_before", [0, 1, 7, 12, 14])
def test_goes_on_after_pickling(n_before: int) -> None:
    searcher = GridSearch().searcher(SPACE, costs={})
    proposed = [searcher.propose() for _ in range(n_before)]
    copy = cloudpickle.loads(cloudpickle.dumps(searcher))
    proposed += [copy.propose() for _ in range(14 - n_before)]
    assert proposed == [*SPACE.enumerate(), None, None]


def test_the_reals_cannot_be_enumerated() -> None:
    with pytest.raises(SpaceError, match="continuous decision and cannot be enumerated"):
        GridSearch().searcher(SPACE, costs={}, hyperparameters={"lr": tune.uniform(0, 1)})


def test_the_order_is_kept_where_few_comply() -> None:
    """22 of the 5,120 members, the last of them far from the others."""
    space = ToySpace(n_layers=6)
    searcher = GridSearch().searcher(space, constraints="params <= 3000", costs={"params": space.params})
    found = [space.from_config(config) for config in run_trials(searcher, space.result, 10)]
    searcher = cloudpickle.loads(cloudpickle.dumps(searcher))
    found = [space.from_config(config) for config in run_trials(searcher, space.result, 100)]
    assert found == [arch for arch in space.enumerate() if space.params(arch) <= 3000]
    assert not searcher.archive.events("repaired")


def test_proposals_are_repaired_where_too_many_in_a_row_break_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raynas.strategies.grid_search.MAX_SKIPPED", 30)
    space = ToySpace(n_layers=6)
    searcher = GridSearch().searcher(space, constraints="params <= 3000", costs={"params": space.params})
    found = [space.from_config(config) for config in run_trials(searcher, space.result, 100)]
    assert {*found} == {arch for arch in space.enumerate() if space.params(arch) <= 3000}
    assert searcher.archive.events("repaired")
