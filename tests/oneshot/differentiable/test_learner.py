"""The steps of a differentiable search."""

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raynas.errors import RaynasError
from raynas.nn import Supernet
from raynas.oneshot.differentiable import (
    PRESETS,
    Darts,
    Differentiable,
    ExpectedCost,
    Gdas,
    PDarts,
    Proxyless,
    Snas,
    Stage,
    Watch,
)
from tests.oneshot.differentiable.searches import FAST, QUIET, Chain, known, run, run_epoch, start
from tests.oneshot.spaces import batches, only_operations


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_finds_the_right_operation(name: str) -> None:
    method: Differentiable = PRESETS[name](**FAST)
    if name == "fair_darts":  # Its loss makes a choice final early: it must not be made in the first step.
        method = replace(method, arch_lr=0.02)
    method = replace(method, partial_channels=1, stages=(Stage(),), stop=None)
    learner = run(method, known(), n_epochs=4, n_steps=12 if name != "smooth_darts_adv" else 8)
    assert set(learner.derived.values()) == {"right"}
    strengths = learner.alphas.strengths(method.relaxation)
    assert all(s.argmax() == 1 and s[1] - s[0] > 0.05 for s in strengths.values())
    assert learner.candidates() == [learner.derived]


class TestStep:
    def test_each_half_leaves_the_other_alone(self) -> None:
        learner = start(Darts(arch_lr=0.1, watch=QUIET), only_operations())
        learner.begin_epoch()
        (train,), (valid,) = batches(1), batches(1, seed=1)
        weights = [p.detach().clone() for p in learner.weights()]
        alphas = [a.detach().clone() for a in learner.alphas.parameters()]
        learner._architecture_step(train, valid)
        assert all(p.grad is None and p.requires_grad for p in learner.weights())
        assert all(torch.equal(p, old) for p, old in zip(learner.weights(), weights, strict=True))
        moved = [a.detach().clone() for a in learner.alphas.parameters()]
        # Adam's first step is the learning rate, whatever the size of the gradient.
        assert all((a - b).abs().max() > 0.09 for a, b in zip(alphas, moved, strict=True))
        learner._weight_step(train)
        assert all(
            a.grad is None and torch.equal(a, b) for a, b in zip(learner.alphas.parameters(), moved, strict=True)
        )
        assert any(not torch.equal(p, old) for p, old in zip(learner.weights(), weights, strict=True))

    def test_the_gradient_is_that_of_the_held_out_loss(self) -> None:
        learner = start(Darts(watch=QUIET), only_operations())
        learner.begin_epoch()
        (train,), (images, labels) = batches(1), batches(1, seed=1)[0]
        loss = learner.setup.loss(
            learner.supernet(images, {n: v.softmax(0) for n, v in learner.alphas.values.items()}), labels
        )
        expected = torch.autograd.grad(loss, learner.alphas.parameters())
        seen: list[Tensor] = []
        setup = replace(learner.setup, average_gradients=lambda ps: seen.extend(p.grad.clone() for p in ps))  # type: ignore[union-attr]
        learner.setup = setup
        learner._architecture_step(train, (images, labels))
        for one, two in zip(seen, expected, strict=True):
            torch.testing.assert_close(one, two)

    def test_second_order_differs_and_has_the_noise_of_one_sample(self) -> None:
        learner = start(Differentiable(second_order=True, watch=QUIET), only_operations())
        learner.begin_epoch()
        before = [p.detach().clone() for p in learner.weights()]
        (train,), (valid,) = batches(1), batches(1, seed=1)
        learner._unrolled_gradients(train, valid)
        found = [a.grad.clone() for a in learner.alphas.parameters() if a.grad is not None]
        learner._unrolled_gradients(train, valid)
        again = [a.grad for a in learner.alphas.parameters() if a.grad is not None]
        assert len(found) == len(again) == 3 and all(map(torch.equal, before, learner.weights()))
        with pytest.raises(RaynasError, match=r"needs torch\.optim\.SGD"):
            net = Supernet(only_operations())
            start(learner.method, only_operations(), supernet=net, optimizer=torch.optim.Adam(net.parameters()))

    def test_held_out_batches_are_needed_unless_both_learn_from_one(self) -> None:
        learner = start(Darts(watch=QUIET), only_operations())
        learner.begin_epoch()
        with pytest.raises(RaynasError, match="held-out"):
            learner.step(batches(1)[0])
        snas = start(Snas(watch=QUIET), only_operations())
        before = [a.detach().clone() for a in snas.alphas.parameters()]
        snas.begin_epoch()
        snas.step(batches(1)[0])
        assert not Snas.uses_valid and all(
            not torch.equal(a, b) for a, b in zip(before, snas.alphas.parameters(), strict=True)
        )

    def test_warmup_rests_the_architecture(self) -> None:
        learner = start(Darts(warmup=0.5, watch=QUIET), only_operations())
        moved = []
        for _ in range(4):
            before = [a.detach().clone() for a in learner.alphas.parameters()]
            run_epoch(learner)
            pairs = zip(before, learner.alphas.parameters(), strict=True)
            moved.append(any(not torch.equal(a, b) for a, b in pairs))
        assert moved == [False, False, True, True]

    @pytest.mark.parametrize(("method", "per_step"), [(Gdas(watch=QUIET), (1, 1)), (Proxyless(watch=QUIET), (2, 1))])
    def test_only_drawn_paths_are_computed(self, method: Differentiable, per_step: tuple[int, int]) -> None:
        learner = start(replace(method, warmup=0.0), only_operations())
        calls: list[str] = []
        for place in learner.supernet.expanded_choices:
            for option in place.choice.factories:
                place.branch(option).register_forward_hook(lambda m, i, o, n=place.name: calls.append(n))
        learner.begin_epoch()
        (train,), (valid,) = batches(1), batches(1, seed=1)
        halves = (lambda: learner._architecture_step(train, valid), lambda: learner._weight_step(train))
        for half, n in zip(halves, per_step, strict=True):
            calls.clear()
            half()
            assert sorted(calls) == sorted(n * ["first", "second", "pool"])

    def test_goes_on_exactly(self) -> None:
        """Across a change of stage, with all that has a state."""
        second_stage = Stage(space={"cells": 2}, keep=2, fresh=True, skip_dropout=0.3)
        stages, space = (Stage(space={"cells": 1}, fresh=True), second_stage), Chain()
        costs = (ExpectedCost(target=1e5, n_samples=1),)
        method = PDarts(stages=stages, costs=costs, watch=Watch(eigenvalue_every=2, n_iterations=1))
        whole = start(method, space)
        histories = [[run_epoch(whole) for _ in range(4)]]
        for n in (1, 3):
            first = start(method, space)
            seen = [run_epoch(first) for _ in range(n)]
            file = io.BytesIO()
            torch.save(first.state_dict(), file)
            file.seek(0)
            second = start(method, space)
            second.load_state_dict(torch.load(file, weights_only=True))
            assert second.derived == first.derived and second.monitor.history == first.monitor.history
            histories.append(seen + [run_epoch(second) for _ in range(4 - n)])
            for one, two in zip(whole.alphas.parameters(), second.alphas.parameters(), strict=True):
                assert torch.equal(one, two)
            state = second.supernet.state_dict()
            assert all(torch.equal(tensor, state[key]) for key, tensor in whole.supernet.state_dict().items())
        assert histories[0] == histories[1] == histories[2]
