import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.converting import Depth, Width, convert
from raynas.core.architecture import Architecture, Option
from raynas.nn import ModelSpace, Repeat
from raynas.nn.supernet import Supernet
from raynas.oneshot import ProgressiveShrinking, largest
from raynas.oneshot.progressive_shrinking import ProgressiveLearner, phases
from tests.oneshot.contract import epoch, setup_of
from tests.oneshot.spaces import Bottleneck, batches, everything, only_operations
from tests.oneshot.trajectory import selections_of

EQUAL = ProgressiveShrinking(full_share=1, kernel_share=1, depth_shares=(1, 1), width_shares=(1, 1))


class Elastic(nn.Module):
    """Blocks of elastic expansion, kernel and number, as in Once-for-All."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.body = Repeat(lambda i: Bottleneck(), 1, 3)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self.stem(x)).mean((2, 3)))
        return out


def space() -> ModelSpace:
    return ModelSpace(Elastic, input_shape=(2, 6, 6))


def started(settings: ProgressiveShrinking = EQUAL, **changed: Any) -> ProgressiveLearner:
    learner = settings.start(setup_of(space(), settings, **{"n_epochs": 6, "n_steps": 1, **changed}))
    learner.begin_epoch()
    return learner


def step(learner: ProgressiveLearner, seed: int = 0) -> list[Architecture]:
    """One epoch of one step; gives what was trained."""
    learner.begin_epoch()
    with selections_of(learner.supernet) as drawn:
        learner.step(batches(1, seed=seed)[0])
    learner.end_epoch(lambda: [])
    return drawn


def allowed(learner: ProgressiveLearner, number: int) -> Mapping[str, list[Option]]:
    return {name: list(options) for name, options in learner.phases[number].options.items()}


def test_each_phase_adds_smaller_options() -> None:
    """The order and the steps of section 3.3 and of the published code: 4, then 3, then 2 blocks."""
    learner = started()
    assert [phase.name for phase in learner.phases] == ["full", "kernel", "depth", "depth", "width", "width"]
    kernel, width = "body.1.depthwise.kernel_size", "body.1.expand.out_channels"
    assert [allowed(learner, i)["body"] for i in range(6)] == [[3], [3], [2, 3], *[[1, 2, 3]] * 3]
    assert [allowed(learner, i)[kernel] for i in range(6)] == [[5], *[[3, 5]] * 5]
    assert [allowed(learner, i)[width] for i in range(6)] == [*[[2]] * 4, [1.5, 2], [1, 1.5, 2]]


def test_a_step_trains_as_many_subnets_as_published() -> None:
    learner = started()
    counts = [len(step(learner)) for _ in range(6)]
    assert counts == [1, 1, 2, 2, 4, 4]


def test_subnets_are_drawn_from_their_phase() -> None:
    learner = started()
    choices = {"body.0.attention", "body.1.attention", "body.2.attention"}
    for number in range(6):
        for arch in [*step(learner), *learner.candidates()]:
            assert learner.supernet.space.canonical(arch) == arch
            assert all(arch[name] in learner.phases[number].options[name] for name in arch)
        if number == 0:
            assert {n: o for n, o in arch.items() if n not in choices} == {
                n: o for n, o in learner.largest.items() if n not in choices
            }


def test_phases_have_their_shares_of_the_steps() -> None:
    learner = started(ProgressiveShrinking(), n_epochs=59, n_steps=10)  # 590 epochs in the paper.
    assert learner.first_steps == [0, 180, 300, 325, 445, 470]
    assert [learner.phase_at(s) for s in (0, 179, 180, 324, 325, 469, 589)] == [0, 0, 1, 2, 3, 4, 5]


def test_phases_without_decisions_are_left_out() -> None:
    settings = ProgressiveShrinking()
    learner = settings.start(setup_of(only_operations(), settings))
    assert [phase.name for phase in learner.phases] == ["full"]
    assert learner.phases[0].options == {d.name: d.options for d in learner.supernet.space.decisions}
    epoch(learner)
    assert learner.teacher is None


def test_resolutions_are_drawn_from_the_start_one_for_each_step() -> None:
    setup = setup_of(everything(), EQUAL, n_epochs=12, n_steps=1)
    learner = EQUAL.start(setup)
    assert list(learner.phases[0].options["side"]) == [4, 6]
    sides = []
    for _ in range(12):
        drawn = step(learner)
        assert len({arch["side"] for arch in drawn}) == 1
        sides.append(drawn[0]["side"])
    assert len(set(sides[:6])) == 2


def test_the_largest_network_teaches_as_the_first_phase_left_it() -> None:
    learner = started()
    step(learner)
    left = copy.deepcopy(learner.supernet.state_dict())
    assert learner.teacher is None
    for _ in range(5):
        step(learner)
    frozen = learner.teacher
    assert frozen is not None
    teacher = frozen.state_dict()
    assert all(torch.equal(teacher[name], tensor) for name, tensor in left.items())
    assert any(not torch.equal(learner.supernet.state_dict()[name], tensor) for name, tensor in left.items())
    assert not any(p.requires_grad for p in frozen.parameters())


def test_the_loss_is_that_of_labels_and_of_the_teacher() -> None:
    """Equal to cross entropy against labels plus kd_ratio times that against the teacher's probabilities."""
    learner = started(ProgressiveShrinking(kd_ratio=0.5))
    learner._enter(1)
    images, labels = batches(1)[0]
    assert learner.teacher is not None
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    learner.supernet.train()
    with torch.no_grad():
        soft = learner.supernet(images, largest(learner.supernet)).softmax(1)  # Both normalise by the batch.
    expected = nn.functional.cross_entropy(logits, labels) - 0.5 * (soft * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(learner._loss_of(images, labels, {})(logits), expected)


def test_without_distillation_there_is_no_teacher() -> None:
    learner = started(ProgressiveShrinking(kd_ratio=0))
    learner._enter(1)
    assert learner.teacher is None


def test_channels_are_sorted_before_widths_become_elastic() -> None:
    """The largest network stays the same; those that read the channels most come first."""
    learner = started()
    for number in (1, 2, 3):
        learner._enter(number)
    images = batches(1)[0][0]
    net = learner.supernet.eval()
    with torch.no_grad():
        before = net(images, learner.largest)
        learner._enter(4)
        torch.testing.assert_close(net(images, learner.largest), before, rtol=1e-4, atol=1e-5)
    for i in range(3):
        strength = net.get_submodule(f"net.body.{i}.project").shared.weight.detach().abs().sum((0, 2, 3))  # type: ignore[union-attr, operator]
        assert torch.equal(strength, strength.sort(descending=True).values)


def test_goes_on_exactly_from_every_phase() -> None:
    whole = started()
    states, expected = [], []
    for _ in range(6):
        states.append(copy.deepcopy(whole.state_dict()))
        step(whole)
        expected.append(copy.deepcopy(whole.supernet.state_dict()))
    for number in range(6):
        learner = started()
        learner.load_state_dict(states[number])
        step(learner)
        for name, tensor in learner.supernet.state_dict().items():
            assert torch.equal(tensor, expected[number][name]), (number, name)


def test_golden_trajectory() -> None:
    learner = started()
    drawn = [arch for _ in range(6) for arch in step(learner)][-2:]
    assert ["/".join(map(str, arch.values())) for arch in drawn] == GOLDEN


GOLDEN = ["1/1.5/3/se", "2/1/5/se/2/5/se"]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="shares must be positive"):
        ProgressiveShrinking(kernel_share=0)
    with pytest.raises(ValueError, match="at least 1"):
        ProgressiveShrinking(width_subnets=0)
    with pytest.raises(ValueError, match="kd_ratio must be at least 0, got -1"):
        ProgressiveShrinking(kd_ratio=-1)


def test_depths_of_a_converted_model_come_before_its_widths() -> None:
    block = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    model = nn.Sequential(nn.Linear(4, 8), *(copy.deepcopy(block) for _ in range(3)), nn.Linear(8, 2))
    converted = convert(model, torch.rand(2, 4), vary={"model.depth": Depth(), "1.0": Width(0.5)})
    found = phases(Supernet(converted), EQUAL)
    assert [phase.name for phase in found] == ["full", "depth", "depth", "width"]
    assert [list(phase.options["model.depth"]) for phase in found] == [[3], [1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
