"""Drop path and the auxiliary head of networks of cells."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from raynas.errors import RaynasError
from raynas.nn.input_choice import SelectInputs
from raynas.search_spaces import DARTS, NASNet
from raynas.search_spaces.nasnet import NASNET_A
from raynas.trials import Training
from raynas.trials.cell_training import AuxiliaryHead, DropPath

CELLS = DARTS(input_shape=(1, 8, 8), channels=8, cells=3, n_nodes=1)
ARCH = CELLS.canonical({d.name: d.options[2] if ".op_" in d.name else d.options[0] for d in CELLS.decisions})
FAST = Training(epochs=2, data_fraction=0.1, lr=0.05, drop_path=0.4, auxiliary_weight=0.4, augment="none")


class TestDropPath:
    def test_zeroes_whole_examples_and_keeps_the_mean(self) -> None:
        torch.manual_seed(0)
        node = SelectInputs(2, (0, 1), "sum", {"0": nn.Conv2d(2, 2, 1), "1": nn.Identity()}).train()
        dropping, x = DropPath(node), torch.randn(4000, 2, 2, 2)
        plain = node(x, x)
        dropping.rate = 0.25
        through = node(x, x) - x
        kept = through.abs().amax((1, 2, 3)) > 1e-5
        assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.03)
        torch.testing.assert_close(through[kept], (plain - x)[kept] / 0.75, atol=1e-4, rtol=1e-4)
        assert torch.equal(node.eval()(x, x), plain)

    def test_the_rate_rises_with_the_epochs(self) -> None:
        run = begun(FAST)
        rates = []
        for _ in range(2):
            run.advance()
            rates.append(run.trainer._drop_path.rate)
        assert rates == [0.0, 0.2]

    def test_needs_cells(self) -> None:
        with pytest.raises(RaynasError, match="drop_path needs a network of cells"):
            DropPath(nn.Linear(2, 2))


class TestAuxiliaryHead:
    def test_has_the_layers_of_the_authors(self) -> None:
        """On 8x8 pixels: pooling 5x5 by 3 to 2x2, 128 channels by 1x1, 768 by 2x2, a linear layer."""
        space = DARTS(channels=4, cells=3)
        arch = space.canonical({d.name: d.options[0] for d in space.decisions})
        head = AuxiliaryHead(space.build(arch), space.example(2, "cpu"))
        n_in = 4 * 4 * 4
        assert sum(p.numel() for p in head.parameters()) == n_in * 128 + 256 + 128 * 768 * 4 + 2 * 768 + 7690
        assert isinstance(head.layers[1], nn.AvgPool2d)

    def test_reads_the_cells_of_nasnet(self) -> None:
        space = NASNet(channels=2, cells=1, n_classes=7)
        model = space.build(NASNET_A)
        head, dropping = AuxiliaryHead(model, space.example(2, "cpu")), DropPath(model.train())
        dropping.rate = 0.5
        assert space.example(2, "cpu").call(model).shape == head().shape == (2, 7)

    def test_is_trained_with_the_network_and_continues(self) -> None:
        run = begun(FAST)
        head = run.trainer.task.trained
        before = head.layers[-1].weight.detach().clone()
        run.advance()
        assert not torch.equal(head.layers[-1].weight, before)
        again = begun(FAST)
        again.load_state(copy.deepcopy(run.state()))
        run.advance(), again.advance()
        assert all(
            torch.equal(a, b) for a, b in zip(head.parameters(), again.trainer.task.trained.parameters(), strict=True)
        )
        assert not any("auxiliary" in name for name in run.trainer.model.state_dict())

    def test_needs_cells(self) -> None:
        with pytest.raises(RaynasError, match="auxiliary_weight needs a network that is a chain of cells"):
            AuxiliaryHead(nn.Linear(2, 2), torch.zeros(2, 2))


def begun(settings: Training) -> Any:
    runner = settings.runner(CELLS)
    runner.begin({"arch": dict(ARCH)})
    return runner.trial
