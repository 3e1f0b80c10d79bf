"""Learning rates and momenta that follow from the subnet of a step (Jeon et al., CVPR 2025)."""

import numpy as np
import pytest
import torch

from raynas.metrics.cost import MetaModels, count_params
from raynas.nn import Supernet
from raynas.oneshot import SinglePath, largest, smallest
from raynas.oneshot.single_path import SubnetAwareLearner
from raynas.oneshot.subnet_aware import ComplexityAwareRate
from tests.oneshot.contract import epoch, saved, setup_of
from tests.oneshot.spaces import everything, only_operations

PAPER = SinglePath(complexity_aware_lr=4.0, separate_momentum=True)


def begun(method: SinglePath = PAPER) -> SubnetAwareLearner:
    learner = method.start(setup_of(only_operations(), method))
    assert isinstance(learner, SubnetAwareLearner)
    learner.begin_epoch()
    return learner


def test_the_exponent_falls_with_the_logarithm_of_the_parameters() -> None:
    supernet = Supernet(everything())
    rate, models = ComplexityAwareRate(supernet, 4.0), MetaModels(supernet.space)
    low, high = smallest(supernet), largest(supernet)
    assert (rate.gamma(low), rate.gamma(high)) == (4.0, 0.25)
    assert rate.factor(low, 0.5) == 0.5**4 and rate.factor(high, 0.5) == pytest.approx(0.5**0.25)
    rng = np.random.default_rng(0)
    n_low, n_high = (np.log(count_params(models(arch))) for arch in (low, high))
    for arch in [supernet.space.sample(rng) for _ in range(20)]:
        share = (np.log(count_params(models(arch))) - n_low) / (n_high - n_low)
        assert rate.gamma(arch) == pytest.approx(4 - 3.75 * share)


def test_each_step_has_the_rate_of_its_subnet() -> None:
    learner = begun(SinglePath(complexity_aware_lr=4.0))
    rates: list[tuple[float, float]] = []
    assert learner.rate is not None and learner.momenta is None
    for step in range(6):
        learner.step_in_epoch = step
        arch = learner.drawn()
        rates.append((learner.setup.optimizer.param_groups[0]["lr"], learner.rate.factor(arch, step / 18)))
    assert all(lr == pytest.approx(0.05 * factor) for lr, factor in rates) and len(set(rates)) > 2


def test_a_step_changes_the_momentum_of_its_group_alone() -> None:
    learner = begun(SinglePath(separate_momentum=True))
    assert learner.momenta is not None and learner.rate is None
    epoch(learner)
    states, seen = learner.momenta.state_dict(), set[int]()
    assert 1 < len(states) <= len(learner.momenta.decision.options)
    for state in states.values():
        buffers = [
            each["momentum_buffer"] for each in state["state"].values() if each.get("momentum_buffer") is not None
        ]
        seen.add(hash(tuple(float(buffer.abs().sum()) for buffer in buffers)))
    assert len(seen) == len(states), "groups have different momenta"


def test_a_resumed_training_has_all_momenta() -> None:
    whole = begun()
    epoch(whole)
    again = begun()
    again.load_state_dict(saved(whole))
    expected, found = epoch(whole), epoch(again)
    assert expected == found
    for a, b in zip(whole.supernet.parameters(), again.supernet.parameters(), strict=True):
        assert torch.equal(a, b)


def test_settings_are_checked() -> None:
    for wrong in (1.0, 0, 101):
        with pytest.raises(
            ValueError, match=f"complexity_aware_lr must be above 1 and at most 100, such as 4, got {wrong}"
        ):
            SinglePath(complexity_aware_lr=wrong)
