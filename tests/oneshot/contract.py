"""What every method in ONESHOT must do."""

import io
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.feasible_sampler import MemberLimits
from raynas.errors import RaynasError, SpaceError
from raynas.metrics import read_goal, untrained_metrics
from raynas.nn import ModelSpace, Supernet
from raynas.nn.batch_statistics import batch_statistics
from raynas.oneshot import Enas, Learner, OneShot, Setup, SinglePath
from tests.oneshot.spaces import batches
from tests.oneshot.trajectory import selections_of

N_STEPS = 6


def setup_of(space: ModelSpace, method: OneShot, n_epochs: int = 3, **changed: Any) -> Setup:
    torch.manual_seed(0)
    try:
        supernet = Supernet(space, partial_channels=method.partial_channels)
    except SpaceError as refusal:
        pytest.skip(str(refusal))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
    setup = Setup(supernet=supernet, optimizer=optimizer, n_epochs=n_epochs, n_steps=N_STEPS, clip_norm=5.0)
    return replace(setup, **changed)


def epoch(learner: Learner) -> list[float]:
    """One epoch on the trivial task; gives the losses."""
    learner.begin_epoch()
    valid = batches(N_STEPS, seed=1)
    pairs = zip(batches(N_STEPS), valid, strict=True)
    losses = [float(learner.step(train, held if learner_takes(learner) else None)) for train, held in pairs]
    metrics = learner.end_epoch(lambda: valid)
    assert all(isinstance(value, float) for value in metrics.values())
    return losses


def learner_takes(learner: Learner) -> bool:
    return bool(getattr(learner, "takes_valid", False))


def loss_of_candidates(learner: Learner) -> float:
    """The mean loss, against the labels of unseen images, of what the method says that it has trained."""
    images, labels = batches(1, seed=2, size=32)[0]
    with torch.no_grad(), batch_statistics(learner.supernet):
        losses = [learner.supervised(labels)(learner.logits(images, arch)) for arch in learner.candidates()]
    return float(torch.stack(losses).mean())


def saved(learner: Learner) -> Any:
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class OneShotContract:
    """Derive from it and give the method and the space."""

    @pytest.fixture
    def method(self) -> OneShot:
        raise NotImplementedError("give the method to test in a fixture named 'method'")

    @pytest.fixture
    def space(self) -> ModelSpace:
        raise NotImplementedError("give the space to test on in a fixture named 'space'")

    def start(self, method: OneShot, setup: Setup) -> Learner:
        try:
            learner = method.start(setup)
        except RaynasError as refusal:
            pytest.skip(str(refusal))
        learner.takes_valid = method.uses_valid  # type: ignore[attr-defined]
        return learner

    def test_what_was_trained_has_learned(self, method: OneShot, space: ModelSpace) -> None:
        learner = self.start(method, setup_of(space, method, n_epochs=6))
        before = loss_of_candidates(learner)
        for _ in range(6):
            epoch(learner)
        assert loss_of_candidates(learner) < 0.8 * before
        assert learner.progress == 1

    def test_gives_members(self, method: OneShot, space: ModelSpace) -> None:
        learner = self.start(method, setup_of(space, method))
        for _ in range(2):
            for arch in learner.candidates():
                assert space.canonical(arch) == arch
            assert learner.candidates() == learner.candidates()
            epoch(learner)
        assert learner.derived is None or space.canonical(learner.derived) == learner.derived

    def test_goes_on_exactly(self, method: OneShot, space: ModelSpace) -> None:
        """An interrupted training equals one that was not; what the process did between makes no difference."""
        whole = self.start(method, setup_of(space, method))
        expected = [epoch(whole) for _ in range(3)]
        first = self.start(method, setup_of(space, method))
        losses = [epoch(first), epoch(first)]
        state = saved(first)
        torch.rand(7)
        second = self.start(method, setup_of(space, method))
        second.load_state_dict(state)
        assert second.candidates() == first.candidates() and second.derived == first.derived
        losses += [epoch(second)]
        assert losses == expected
        for name, tensor in whole.supernet.state_dict().items():
            assert torch.equal(tensor, second.supernet.state_dict()[name]), name
        assert second.derived == whole.derived

    def test_follows_the_seed(self, method: OneShot, space: ModelSpace) -> None:
        runs = [epoch(self.start(method, setup_of(space, method, seed=seed))) for seed in (0, 0, 1)]
        assert runs[0] == runs[1] != runs[2]

    def test_averages_gradients_before_they_are_applied(self, method: OneShot, space: ModelSpace) -> None:
        """No other gradient reaches the shared weights: where the average is zero, they stay as they are."""
        touched: set[int] = set()

        def average(parameters: Iterable[nn.Parameter]) -> None:
            for parameter in parameters:
                assert parameter.grad is not None
                parameter.grad.zero_()
                touched.add(id(parameter))

        setup = setup_of(space, method, average_gradients=average)
        learner = self.start(method, setup)
        before = [parameter.detach().clone() for parameter in setup.supernet.parameters()]
        epoch(learner)
        assert touched & set(map(id, setup.supernet.parameters()))
        assert all(torch.equal(old, new) for old, new in zip(before, setup.supernet.parameters(), strict=True))

    def test_scores_and_derives_within_limits(self, method: OneShot, space: ModelSpace) -> None:
        """Hard limits on costs hold for what is scored and derived, which still follows from seed and epoch."""
        costs = untrained_metrics(space, ["params"])
        values = sorted(costs["params"](space.sample(np.random.default_rng(i))) for i in range(40))
        goal = read_goal("accuracy", f"params <= {values[3]}")
        limits = MemberLimits(space=space, goal=goal, costs=costs)
        learner = self.start(method, setup_of(space, method, limits=limits))
        found = list[Architecture]()
        if isinstance(method, SinglePath | Enas):  # they draw freely what they train
            with selections_of(learner.supernet) as found:
                epoch(learner)
        found += [*learner.candidates(), *([learner.derived] if learner.derived else [])]
        assert found and all(costs["params"](arch) <= values[3] for arch in found)
        assert learner.candidates() == learner.candidates() and learner.derived == learner.derived

    def test_works_in_low_precision(self, method: OneShot, space: ModelSpace) -> None:
        """Forward passes run in the precision asked for; losses are taken in full."""
        seen: set[torch.dtype] = set()
        setup = setup_of(space, method, precision=partial(torch.autocast, "cpu", torch.bfloat16))
        learner = self.start(method, setup)
        setup.supernet.net.head.register_forward_hook(lambda m, i, out: seen.add(out.dtype))  # type: ignore[union-attr]
        learner.begin_epoch()
        train, valid = batches(2)
        assert learner.step(train, valid if method.uses_valid else None).dtype is torch.float32
        assert seen == {torch.bfloat16}
