from raynas.core.architecture import Architecture
from raynas.testing import ToySpace

BEST = Architecture({"layers.0": 2, "layers.1": 2, "head": "cosine"})


def test_one_architecture_is_best() -> None:
    space = ToySpace(n_layers=2, n_options=3)
    assert space.size == 12
    by_accuracy = sorted(space.enumerate(), key=space.accuracy)
    assert by_accuracy[-1] == BEST and space.accuracy(BEST) == 1.0
    assert space.accuracy(by_accuracy[0]) == 0.0


def test_accuracy_costs_parameters() -> None:
    space = ToySpace(n_layers=2, n_options=3)
    assert space.params(BEST) == 5000.0
    assert space.params(Architecture({"layers.0": 0, "layers.1": 0})) == 1000.0


def test_a_result_is_what_a_trial_reports() -> None:
    space = ToySpace(n_layers=2, n_options=3)
    assert space.result({"arch": dict(BEST), "lr": 0.1}) == {
        "accuracy": 1.0,
        "params": 5000.0,
        "training_iteration": 1,
    }
