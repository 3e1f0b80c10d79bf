from collections.abc import Mapping

import pytest
from ray import tune

from raynas.run.trainables import as_settings, as_strategy
from raynas.strategies import ByBudget, RandomSearch
from raynas.testing import ToySpace
from raynas.trials import Function, Training


class Mine(tune.Trainable):
    pass


def score(model: object, config: Mapping[str, object]) -> float:
    return 0.5


def test_settings_are_taken_as_they_are() -> None:
    settings = Training(data="digits")
    assert as_settings(settings) is settings


def test_a_function_is_wrapped() -> None:
    assert as_settings(score) == Function(fn=score)


def test_a_class_is_used_unchanged() -> None:
    settings = as_settings(Mine)
    assert settings.trainable(ToySpace()) is Mine
    assert settings.max_fidelity == 100


class Greedy(tune.Trainable):
    @classmethod
    def default_resource_request(cls, config: dict[str, object]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": 1}, {"CPU": 2, "GPU": 0.5}])


class Depending(tune.Trainable):
    @classmethod
    def default_resource_request(cls, config: dict[str, object]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": config["arch"]}])  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("cls", "bundles"),
    [
        (Mine, [{"cpu": 1}]),
        (tune.with_resources(Mine, {"cpu": 3, "licence": 1}), [{"CPU": 3, "licence": 1}]),
        (Greedy, [{"CPU": 1}, {"CPU": 2, "GPU": 0.5}]),
        (Depending, [{"cpu": 1}]),
    ],
)
def test_a_class_needs_what_it_asks_tune_for(cls: type[tune.Trainable], bundles: list[dict[str, float]]) -> None:
    assert as_settings(cls).bundles == bundles


@pytest.mark.parametrize("trainable", ["training", 3, None])
def test_anything_else_is_refused(trainable: object) -> None:
    with pytest.raises(TypeError, match="trainable must be settings such as Training"):
        as_settings(trainable)  # type: ignore[arg-type]


def test_settings_have_parentheses() -> None:
    with pytest.raises(TypeError, match=r"with parentheses: Training\(\.\.\.\)"):
        as_settings(Training)
    with pytest.raises(TypeError, match=r"with parentheses: RandomSearch\(\)"):
        as_strategy(RandomSearch)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        *(
            ("evolution", r"; did you mean RegularizedEvolution\(\)\?"),
            ("RandomSearch", r"; did you mean RandomSearch\(\)\?"),
        ),
        *(("evolutoin", r"; did you mean 'evolution'\?"), (3, "")),
    ],
)
def test_a_strategy_by_name_is_told_how_to_write_it(given: object, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"strategy must be settings such as RandomSearch\(\), got {given!r}{hint}$"):
        as_strategy(given)


def test_a_strategy_is_taken_as_it_is() -> None:
    strategy = RandomSearch()
    assert as_strategy(strategy) is strategy and as_strategy(None) == ByBudget()
