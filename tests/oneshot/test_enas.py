from collections.abc import Iterable

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.oneshot import Enas
from raynas.oneshot.enas import EnasLearner
from tests.oneshot.contract import setup_of
from tests.oneshot.spaces import Batch, batches, only_operations
from tests.oneshot.trajectory import selections_of

FEW = Enas(n_controller_steps=2, n_aggregate=2, n_derived=4)


def started(settings: Enas = FEW) -> EnasLearner:
    learner = settings.start(setup_of(only_operations(), settings))
    learner.begin_epoch()
    return learner


def test_golden_trajectory() -> None:
    learner = started()
    with selections_of(learner.supernet) as drawn:
        for batch in batches(3):
            learner.step(batch)
    assert ["/".join(map(str, arch.values())) for arch in drawn] == GOLDEN


GOLDEN = ["skip/skip/max", "conv3/conv3/mean", "conv3/conv1/mean"]


def test_weights_and_controller_take_turns() -> None:
    """Steps leave the controller alone; the end of an epoch leaves the weights and batch statistics alone."""
    learner = started()
    policy = [p.detach().clone() for p in learner.controller.parameters()]
    learner.step(batches(1)[0])
    assert all(torch.equal(old, new) for old, new in zip(policy, learner.controller.parameters(), strict=True))
    weights = {name: tensor.clone() for name, tensor in learner.supernet.state_dict().items()}
    learner.end_epoch(lambda: batches(2))
    assert not all(torch.equal(old, new) for old, new in zip(policy, learner.controller.parameters(), strict=True))
    assert all(torch.equal(weights[name], tensor) for name, tensor in learner.supernet.state_dict().items())
    assert learner.supernet.training


def test_what_is_derived_is_the_best_of_the_samples() -> None:
    learner = started(Enas(n_controller_steps=1, n_aggregate=1, n_derived=6))
    scores: dict[Architecture, float] = {}
    accuracy = learner._accuracy
    learner._accuracy = lambda arch, batch: scores.setdefault(arch, accuracy(arch, batch))  # type: ignore[method-assign]
    assert learner.derived is None
    learner.end_epoch(lambda: batches(1, seed=3))
    assert learner.derived is not None and scores[learner.derived] == max(list(scores.values())[1:])
    assert learner.candidates() == [learner.derived]


def test_the_controller_learns_what_is_rewarded() -> None:
    learner = started(Enas(n_controller_steps=20, n_aggregate=5, learning_rate=0.02, baseline_decay=0.8))
    learner._accuracy = lambda arch, batch: float(arch["first"] == "conv1")  # type: ignore[method-assign]
    first = learner.end_epoch(lambda: batches(1))
    learner.begin_epoch()
    second = learner.end_epoch(lambda: batches(1))
    assert second["controller_reward"] > max(0.85, first["controller_reward"] + 0.05)
    assert second["controller_entropy"] < first["controller_entropy"]
    assert learner.controller.most_likely()["first"] == "conv1"
    assert learner.derived is not None and learner.derived["first"] == "conv1"


def test_the_baseline_is_a_moving_average_of_rewards() -> None:
    learner = started(Enas(baseline_decay=0.5))
    assert [learner._advantage(r) for r in (0.5, 0.7, 0.7)] == pytest.approx([0, 0.2, 0.1])
    assert learner.baseline == pytest.approx(0.65)


def test_entropy_is_part_of_the_reward() -> None:
    rewards = []
    for weight in (0.0, 2.0):
        learner = started(Enas(n_controller_steps=1, n_aggregate=1, entropy_weight=weight))
        found = learner.end_epoch(lambda: batches(1))
        rewards.append(found["controller_reward"] - weight * found["controller_entropy"])
    assert rewards[0] == pytest.approx(rewards[1])


def test_held_out_batches_are_used_again_and_again() -> None:
    calls = []

    def valid() -> Iterable[Batch]:
        calls.append(1)
        return batches(2)

    started().end_epoch(valid)  # 2 * 2 rewards and one batch to derive with.
    assert len(calls) == 3
    with pytest.raises(ValueError, match="got none"):
        started().end_epoch(lambda: [])


def test_workers_share_their_rewards() -> None:
    """With the mean of two workers' rewards both controllers make the same step."""
    learner = started()

    def average(parameters: Iterable[torch.nn.Parameter]) -> None:
        for parameter in parameters:
            if parameter.numel() == 1 and parameter.grad is not None:
                parameter.grad.fill_(0.25)

    object.__setattr__(learner.setup, "average_gradients", average)
    metrics = learner.end_epoch(lambda: batches(1))
    assert metrics["controller_reward"] == pytest.approx(0.25 + 1e-4 * metrics["controller_entropy"])


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="n_aggregate must be at least 1, got 0"):
        Enas(n_aggregate=0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        Enas(temperature=0)
    with pytest.raises(ValueError, match="baseline_decay < 1"):
        Enas(baseline_decay=1)
