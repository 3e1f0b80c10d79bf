"""The next trial is found without a look at those that have ended."""

from dataclasses import dataclass, field

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, HyperBandScheduler, TrialScheduler

from raynas.run.trial_order import choose_among_live


@dataclass(eq=False)
class Named:
    trial_id: str
    status: str


@dataclass
class Controller:
    """Of Tune's, without a list of all trials."""

    live: set[Named] = field(default_factory=set)

    def get_live_trials(self) -> set[Named]:
        return self.live


@pytest.mark.parametrize("cls", [FIFOScheduler, AsyncHyperBandScheduler])
def test_the_first_that_waits_is_next(cls: type[TrialScheduler]) -> None:
    scheduler, controller = cls(), Controller()
    choose_among_live(scheduler)
    assert scheduler.choose_trial_to_run(controller) is None  # type: ignore[arg-type]
    names = ["00012", "00013", "00011", "00010", "00009"]
    states = ["PENDING", "PENDING", "PENDING", "RUNNING", "PAUSED"]
    trials = dict(zip(names, map(Named, names, states), strict=True))
    controller.live = set(trials.values())
    for name in ("00011", "00012", "00013", "00009"):
        assert scheduler.choose_trial_to_run(controller) is trials[name]  # type: ignore[arg-type, comparison-overlap]
        controller.live.remove(trials[name])
    assert scheduler.choose_trial_to_run(controller) is None  # type: ignore[arg-type]


def test_a_scheduler_with_an_order_of_its_own_keeps_it() -> None:
    scheduler = HyperBandScheduler()
    choose_among_live(scheduler)
    assert "choose_trial_to_run" not in vars(scheduler)
