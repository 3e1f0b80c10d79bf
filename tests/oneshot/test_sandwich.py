import pytest
import torch

from raynas.nn import Supernet
from raynas.oneshot import Learner, Sandwich, Setup, largest, smallest
from raynas.search_spaces.mobilenetv3 import InvertedResidual, MobileNetV3
from tests.oneshot.contract import setup_of
from tests.oneshot.spaces import batches, everything
from tests.oneshot.trajectory import selections_of


def test_trains_the_largest_the_smallest_and_some_between() -> None:
    setup = setup_of(everything(), Sandwich())
    learner = Sandwich(n_random=3).start(setup)
    learner.begin_epoch()
    with selections_of(setup.supernet) as drawn:
        learner.step(batches(1)[0])
    assert drawn[:2] == [largest(setup.supernet), smallest(setup.supernet)]
    assert len(drawn) == 5 and len(set(drawn)) == 5


def test_only_the_largest_sees_the_labels() -> None:
    """Without it in the sum, gradients are the same whatever the labels."""
    setup = setup_of(everything(), Sandwich(), clip_norm=None)
    setup.optimizer.param_groups[0]["lr"] = 0.0
    bias = setup.supernet.net.head.shared.bias  # type: ignore[union-attr]
    total: list[torch.Tensor] = []
    setup.optimizer.register_step_pre_hook(lambda *_: total.append(bias.grad.clone()))  # type: ignore[union-attr, operator]
    images, labels = batches(1)[0]

    def gradient_of_others(learner: Learner, labels: torch.Tensor) -> torch.Tensor:
        learner.begin_epoch()
        learner.step((images, labels))
        learner.accumulate(images, largest_arch, learner.supervised(labels))
        alone: torch.Tensor = bias.grad.clone()  # type: ignore[union-attr, operator]
        setup.optimizer.zero_grad()
        return total[-1] - alone

    learner = Sandwich(n_random=1).start(setup)
    largest_arch = learner.largest
    torch.testing.assert_close(gradient_of_others(learner, labels), gradient_of_others(learner, 1 - labels))
    learner.settings = Sandwich(n_random=1, distillation=False)
    difference = gradient_of_others(learner, labels) - gradient_of_others(learner, 1 - labels)
    assert difference.abs().max() > 1e-2


def test_residual_branches_start_at_zero() -> None:
    """A residual block is the identity then; the others, and without the setting all, have norms of weight 1."""
    space = MobileNetV3(input_shape=(3, 16, 16), n_classes=2, channels=(8,) * 6, head_channels=(8, 8), depths=(1, 2))
    zeros = {}
    for chosen in (True, False):
        supernet = Supernet(space)
        optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
        Sandwich(zero_branches=chosen).start(Setup(supernet=supernet, optimizer=optimizer, n_epochs=1, n_steps=1))
        norms = [m for m in supernet.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        zeros[chosen] = sum(not m.weight.detach().any() for m in norms)
        assert all(m.weight.detach().unique().tolist() in ([0], [1]) for m in norms)
        blocks = [m for m in supernet.modules() if isinstance(m, InvertedResidual) and m.residual]
    # The first block, that of the stage without a stride, and the second one of each of the five stages.
    assert zeros == {True: len(blocks), False: 0} and len(blocks) == 1 + 1 + 5


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="n_random must be at least 0, got -1"):
        Sandwich(n_random=-1)
