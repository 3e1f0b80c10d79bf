"""Regularisers, perturbation, stages, stop rules and the watch's warning: what needs no supernet."""

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.oneshot.differentiable import (
    AdversarialPerturbation,
    DirichletAnchor,
    EigenvalueJump,
    Entropy,
    ExpectedCost,
    RandomPerturbation,
    SkipCount,
    Stage,
    Watch,
    ZeroOne,
)
from raynas.oneshot.differentiable.perturbation import Weights
from raynas.oneshot.differentiable.skips import count_skips, is_skip, skip_share
from raynas.oneshot.differentiable.stages import stage_starts, swap_parameters
from raynas.oneshot.differentiable.stopping import Point


class TestRegularisers:
    def test_zero_one_is_least_at_zero_and_one(self) -> None:
        """Equation 3: -1/N sum (sigmoid(a) - 0.5)^2; -0.25 at the ends, 0 in the middle."""
        assert float(ZeroOne(weight=1)([torch.zeros(3)])) == 0
        assert float(ZeroOne(weight=10)([torch.tensor([50.0, -50.0]), torch.tensor([0.0, 0.0])])) == -1.25
        alpha = torch.tensor([0.1, -0.1], requires_grad=True)
        ZeroOne()([alpha]).backward()
        assert alpha.grad is not None and alpha.grad[0] < 0 < alpha.grad[1]

    def test_anchor_is_zero_at_the_uniform_distribution(self) -> None:
        assert float(DirichletAnchor()([torch.zeros(4)])) == pytest.approx(0, abs=1e-7)
        # KL(Dir(2, 1) || Dir(1, 1)) = ln 2 + digamma(2) - digamma(3) = ln 2 - 1/2.
        assert float(DirichletAnchor(weight=3)([torch.tensor([1.0, 0.0])])) == pytest.approx(3 * (math.log(2) - 0.5))

    def test_entropy(self) -> None:
        assert float(Entropy(weight=1)([torch.zeros(4), torch.zeros(2)])) == pytest.approx(math.log(8))

    def test_refuses_negative_weights(self) -> None:
        with pytest.raises(ValueError, match="must not be negative"):
            ZeroOne(weight=-1)


class TestPerturbation:
    weights: ClassVar[Weights] = {"a": torch.tensor([0.5, 0.3, 0.2]), "b": torch.tensor([0.5, 0.5])}

    @staticmethod
    def loss(weights: Weights) -> Tensor:
        return weights["a"] @ torch.tensor([-1.0, -1.0, 5.0])

    def test_random(self) -> None:
        torch.manual_seed(0)
        for progress, radius in ((0.0, 0.03), (1.0, 0.3)):
            moved = RandomPerturbation()(self.weights, self.loss, progress)
            for name, vector in moved.items():
                assert float(vector.sum()) == pytest.approx(1) and float(vector.min()) >= 0
                assert 0 < float((vector - self.weights[name]).abs().max()) < 2.5 * radius
        assert torch.equal(RandomPerturbation(first=0, last=0)(self.weights, self.loss, 1)["b"], self.weights["b"])

    def test_adversarial_raises_the_loss_more_than_noise_does(self) -> None:
        torch.manual_seed(0)
        noisy = [float(self.loss(RandomPerturbation()(self.weights, self.loss, 0.5))) for _ in range(20)]
        worst = [float(self.loss(AdversarialPerturbation()(self.weights, self.loss, 0.5))) for _ in range(5)]
        assert min(worst) > max(noisy) and min(worst) > float(self.loss(self.weights))

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="0 <= first <= last <= 1"):
            RandomPerturbation(first=0.5, last=0.1)
        with pytest.raises(ValueError, match="at least 1 step"):
            AdversarialPerturbation(n_steps=0)


class TestStages:
    def test_starts(self) -> None:
        assert stage_starts([Stage()], 10) == [0, 10]
        assert stage_starts([Stage(), Stage(), Stage()], 75) == [0, 25, 50, 75]
        assert stage_starts([Stage(share=0.01), Stage(share=9), Stage(share=0.01)], 3) == [0, 1, 2, 3]
        with pytest.raises(RaynasError, match="2 stages need"):
            stage_starts([Stage(), Stage()], 1)

    def test_dropout_falls(self) -> None:
        stage = Stage(skip_dropout=0.5)
        rates = [stage.dropout_at(p / 10, 0.4) for p in range(11)]
        assert rates[0] == 0.5 and rates[2] == pytest.approx(0.4) and rates[4] == 0.5
        assert rates[6] == pytest.approx(0.5 * math.exp(-1)) and rates[10] < rates[8] < rates[6]

    def test_refuses(self) -> None:
        for settings, match in (({"share": 0}, "share"), ({"keep": 1}, "keep"), ({"skip_dropout": 1.0}, "dropout")):
            with pytest.raises(ValueError, match=match):
                Stage(**settings)

    def test_swapping_parameters_forgets_the_old_ones(self) -> None:
        old, new = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([old], lr=0.1, momentum=0.9)
        old.sum().backward()
        optimizer.step()
        swap_parameters(optimizer, [new])
        new.sum().backward()
        optimizer.step()
        assert new.tolist() == pytest.approx([0.9] * 3) and list(optimizer.state) == [new]
        optimizer.add_param_group({"params": [old]})
        with pytest.raises(RaynasError, match="one group"):
            swap_parameters(optimizer, [old])


SKIPS: dict[str, frozenset[str | int | float | bool]] = {
    f"{cell}.{i}": frozenset(["skip"]) for cell in ("normal", "reduce") for i in range(3)
}


def point(epoch: int, n_skips: int, eigenvalue: float | None = None, reduce: str = "conv") -> Point:
    options = {f"normal.{i}": "skip" if i < n_skips else "conv" for i in range(3)}
    metrics = {} if eigenvalue is None else {"dominant_eigenvalue": eigenvalue}
    return Point(epoch=epoch, derived=Architecture({**options, "reduce.0": reduce}), metrics=metrics)


class TestStopRules:
    def test_skip_count(self) -> None:
        rule = SkipCount(n_skips=2)
        assert rule([point(0, 1)], 0.5, SKIPS) is None
        assert rule([point(0, 2)], 0.1, SKIPS) is None  # Too early.
        stop = rule([point(0, 1), point(1, 2)], 0.5, SKIPS)
        assert stop is not None and stop.derived == point(1, 2).derived
        jumped = rule([point(0, 1), point(1, 3)], 0.5, SKIPS)
        assert jumped is not None and jumped.derived == point(0, 1).derived and "epoch 0" in jumped.reason
        assert rule([point(0, 1, reduce="skip")], 0.5, SKIPS) is None  # The reduction cell is exempt.
        assert count_skips(point(0, 1, reduce="skip").derived, SKIPS) == {"normal": 1, "reduce": 1}
        assert skip_share(point(0, 1, reduce="skip").derived, SKIPS) == 0.5

    def test_eigenvalue_jump_goes_back(self) -> None:
        rule = EigenvalueJump(ratio=1.3, window=2, delta=2)
        values = [0.1, 0.1, 0.1, 0.11, 0.12, 0.2]
        history = [point(i, i % 3, value) for i, value in enumerate(values)]
        assert all(rule(history[:n], 0.5, SKIPS) is None for n in range(1, 6))
        # (0.12 + 0.2) / 2 = 0.16 > 1.3 * (0.1 + 0.11) / 2 = 0.1365
        stop = rule(history, 0.5, SKIPS)
        assert stop is not None and stop.derived == history[3].derived and "epoch 3" in stop.reason
        assert rule([*history, point(6, 0)], 0.5, SKIPS) is None  # Nothing new was seen.

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="start"):
            SkipCount(start=1.0)
        with pytest.raises(ValueError, match="ratio > 1"):
            EigenvalueJump(ratio=1.0)

    def test_a_point_survives_its_dict(self) -> None:
        assert Point.from_dict(point(3, 1, 0.5).to_dict()).derived == point(3, 1).derived


class TestWatch:
    def test_warns_of_skips_and_of_eigenvalues(self) -> None:
        watch = Watch()

        def seen(share: float, eigenvalue: float) -> Point:
            metrics = {"skip_share": share, "dominant_eigenvalue": eigenvalue}
            return Point(epoch=7, derived=Architecture({}), metrics=metrics)

        assert watch.warning([seen(0.4, 0.1), seen(0.5, 0.29)], 0.5) == ""
        assert watch.warning([seen(0.9, 0.1)], 0.1) == ""
        skips = watch.warning([seen(0.6, 0.1)], 0.5)
        assert "60%" in skips and "epoch 7" in skips and "robust_darts" in skips and "\n" not in skips
        assert "from 0.1 to 0.4" in watch.warning([seen(0.0, 0.1), seen(0.0, 0.4)], 0.5)

    def test_refuses(self) -> None:
        for settings in ({"gap_batches": -1}, {"n_iterations": 0}, {"warn_ratio": 1.0}, {"start": 1.0}):
            with pytest.raises(ValueError, match=r"must not be negative|need warn_skips"):
                Watch(**settings)


def test_a_skip_is_known_by_what_it_is() -> None:
    from raynas.nn.operations import average_pool, factorized_reduce, relu_conv_bn

    class Mine(nn.Module):
        is_skip = True

    assert is_skip(nn.Identity()) and is_skip(factorized_reduce(4, 4)) and is_skip(Mine())
    assert is_skip(nn.Sequential(nn.Identity(), nn.BatchNorm2d(4)))
    assert not any(map(is_skip, (nn.ReLU(), nn.Sequential(nn.ReLU()), relu_conv_bn(4, 4, 1), average_pool(3))))
    assert not is_skip(nn.Sequential())


def test_forms_of_a_cost() -> None:
    loss, expected = torch.tensor(2.0), torch.tensor(30.0)

    def applied(form: str, at: Tensor = expected) -> float:
        return float(ExpectedCost(target=20, weight=0.5, form=form).applied(loss, at))  # type: ignore[arg-type]

    assert applied("absolute") == pytest.approx(2 + 0.5 * 0.5)
    assert applied("absolute", torch.tensor(10.0)) == pytest.approx(2 + 0.5 * 0.5)
    assert applied("linear") == pytest.approx(2 + 0.5 * 1.5)
    assert applied("log") == pytest.approx(2 + 0.5 * math.log(1.5))
    assert applied("power") == pytest.approx(2 * 1.5**0.5)
    for settings, match in (({"target": 0}, "positive"), ({"weight": -1}, "positive"), ({"form": "x"}, "form must")):
        with pytest.raises(ValueError, match=match):
            ExpectedCost(**settings)
