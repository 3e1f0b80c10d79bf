"""Every method of the catalogue keeps the contract."""

import pytest

from raynas.nn import ModelSpace
from raynas.oneshot import ONESHOT, Enas, OneShot
from raynas.oneshot.differentiable import PRESETS, DrNas, FairDarts, PDarts, Stage
from tests.oneshot.contract import OneShotContract
from tests.oneshot.spaces import everything, only_operations

FITTED: dict[str, OneShot] = {
    "dr_nas": DrNas(partial_channels=4, stages=(Stage(), Stage(partial_channels=2, keep=2))),
    "enas": Enas(n_controller_steps=2, n_aggregate=2, n_derived=3),
    "fair_darts": FairDarts(init_scale=1e-3),  # from zeros nothing in it would be random
    "p_darts": PDarts(stages=(Stage(fresh=True), Stage(keep=2, fresh=True, skip_dropout=0.4))),
}
"""Methods whose published settings are too long for a test, or for the spaces here."""

ONE_FOR_ALL = {"darts", "gdas", "fair_darts", "pc_darts", "dr_nas"}
"""The differentiable presets that are tried on every kind of choice; the others share their ways with them."""

CASES = [
    pytest.param((name, space), id=f"{name}-{space.__name__}")
    for name in ONESHOT
    for space in (only_operations, everything)
    if space is only_operations or name not in PRESETS or name in ONE_FOR_ALL
]


class TestEveryMethod(OneShotContract):
    @pytest.fixture(params=CASES)
    def case(self, request: pytest.FixtureRequest) -> tuple[str, ModelSpace]:
        name, space = request.param
        return name, space()

    @pytest.fixture
    def method(self, case: tuple[str, ModelSpace]) -> OneShot:
        return FITTED.get(case[0]) or ONESHOT[case[0]]()

    @pytest.fixture
    def space(self, case: tuple[str, ModelSpace]) -> ModelSpace:
        return case[1]


def test_names_are_sorted() -> None:
    assert list(ONESHOT) == sorted(ONESHOT)
