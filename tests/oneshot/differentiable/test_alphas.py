"""Architecture parameters of every kind of decision."""

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import RaynasError
from raynas.nn import InputChoice, Mixture, ModelSpace
from raynas.oneshot.differentiable import (
    Darts,
    Gdas,
    PcDarts,
    Watch,
)
from tests.oneshot.differentiable.searches import CELLS, QUIET, run_epoch, selection_of, start
from tests.oneshot.spaces import batches, everything


class TestAlphas:
    def test_every_kind_of_decision(self) -> None:
        learner = start(Darts(watch=QUIET), everything())
        kinds = {name: place.kind for name, place in learner.alphas.places.items()}
        assert kinds["operation"] == "operations" and kinds["depth"] == kinds["width"] == "sizes"
        assert kinds["node"] == "all_inputs" and kinds["side"] == "drawn"
        assert "node" not in learner.alphas.values and "side" not in learner.alphas.values
        run_epoch(learner)
        assert learner.derived["side"] == 6 and everything().canonical(learner.derived) == learner.derived
        assert start(PcDarts(watch=QUIET), everything()).alphas.places["node"].kind == "inputs"

    def test_shared_decisions_have_one_vector(self) -> None:
        learner = start(Darts(watch=QUIET), CELLS)
        assert set(learner.alphas.values) == {
            f"{c}.{n}.op_{i}" for c in ("normal", "reduce") for n in (0, 1) for i in range(n + 2)
        }
        assert all(len(v) == 8 for v in learner.alphas.values.values())  # Seven operations and "none".

    def test_the_mass_of_no_operation_is_missing(self) -> None:
        learner = start(Darts(watch=QUIET), CELLS)
        with torch.no_grad():
            learner.alphas.values["normal.0.op_0"].copy_(torch.tensor([0.0] * 7 + [2.0]))
        selected = selection_of(learner)["normal.0.op_0"]
        assert len(selected) == 7
        assert float(selected.weights.detach().sum()) == pytest.approx(7 / (7 + torch.tensor(2.0).exp()))

    def test_no_operation_that_was_drawn_gives_zeros(self) -> None:
        learner = start(Gdas(watch=QUIET), CELLS)
        with torch.no_grad():
            for value in learner.alphas.values.values():
                value[7] = 1000.0
        selection = selection_of(learner)
        edge: Mixture = selection["normal.0.op_0"]
        assert list(edge.indices) == [list(CELLS.decisions[1].options).index("skip_connect")]
        assert not edge.weights.any()
        learner.begin_epoch()
        learner.step(batches(1)[0], batches(1)[0])  # Nothing depends on the architecture, and that is no error.

    def test_concatenated_inputs_are_drawn(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stems = nn.ModuleList(nn.Conv2d(2, 4, 1) for _ in range(3))
                self.node = InputChoice(3, 2, "concat", label="node")
                self.head = nn.Linear(8, 2)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.head(self.node([stem(x) for stem in self.stems]).mean((2, 3)))
                return out

        learner = start(Darts(watch=Watch(eigenvalue_every=1)), ModelSpace(Net, input_shape=(2, 6, 6)))
        before = learner.alphas.values["node"].detach().clone()
        run_epoch(learner)
        assert learner.derived["node"] in ("0+1", "0+2", "1+2")
        assert not torch.equal(before, learner.alphas.values["node"])

    def test_needs_something_to_relax(self) -> None:
        def model() -> nn.Module:
            from raynas.nn import ElasticResize, Size

            pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
            return nn.Sequential(ElasticResize(2, Size((4, 6))), nn.Conv2d(2, 2, 1), *pool)

        with pytest.raises(RaynasError, match="no decision that can be relaxed"):
            start(Darts(), ModelSpace(model, input_shape=(2, 6, 6)))


def test_only_operations_with_weights_are_ranked() -> None:
    """Of the space of DARTS these are the four convolutions, number 3 to 6; pooling and skip connections have none."""
    learner = start(Darts(watch=QUIET, init_scale=1.0), CELLS)
    values = [v.tolist() for v in learner.alphas.values.values()]
    assert learner.alphas.learnable_order() == tuple(
        i for v in values for i in sorted(range(3, 7), key=lambda i: -v[i])
    )
