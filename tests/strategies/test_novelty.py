import numpy as np
import pytest

from raynas.strategies import novelty
from raynas.strategies.novelty import RepeatLimit, mutate_until_new
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)
EVERYONE = list(SPACE.enumerate())


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_new_architecture_stays_and_costs_no_draw() -> None:
    generator = rng()
    assert mutate_until_new(SPACE, EVERYONE[3], set(EVERYONE[:3]), [EVERYONE[4]], rng=generator) == EVERYONE[3]
    assert generator.random() == rng().random()


def test_a_known_architecture_is_mutated_until_it_is_new() -> None:
    for new in EVERYONE[1:]:
        known = set(EVERYONE) - {new}
        assert mutate_until_new(SPACE, EVERYONE[0], known, rng=rng()) in {new, *known}
    found = [mutate_until_new(SPACE, EVERYONE[0], {EVERYONE[0]}, [EVERYONE[1]], rng=rng()) for _ in range(20)]
    assert not {EVERYONE[0], EVERYONE[1]} & set(found)


def test_a_walk_ends_where_nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "MAX_STEPS", 5)
    assert mutate_until_new(SPACE, EVERYONE[0], set(EVERYONE), rng=rng()) in EVERYONE


def test_repeats_in_a_row_are_limited() -> None:
    limit = RepeatLimit(2)
    repeats = [True, True, False, True, True, True, True, True, True]
    assert [limit.is_exceeded(repeat) for repeat in repeats] == [False] * 5 + [True, False, False, True]
