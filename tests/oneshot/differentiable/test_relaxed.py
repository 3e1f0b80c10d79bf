"""Expected costs and probabilities of a relaxed architecture."""

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.metrics import untrained_metrics
from raynas.oneshot.differentiable import (
    Darts,
    ExpectedCost,
    Softmax,
)
from tests.oneshot.differentiable.searches import CELLS, QUIET, Chain, run_epoch, start


class TestCosts:
    @pytest.mark.parametrize("share", [0.3, 0.7])
    def test_the_expectation_reaches_the_target(self, share: float) -> None:
        space = Chain()
        macs = untrained_metrics(space, ["macs"])["macs"]
        ends = [macs(Architecture({"first": op, "second": op})) for op in ("skip", "conv3")]
        target = ends[0] + share * (ends[1] - ends[0])
        method = Darts(costs=(ExpectedCost(target=target, weight=10.0),), arch_lr=0.1, watch=QUIET)
        learner = start(method, space, n_epochs=2, n_steps=15)
        first = learner.relaxed.expected_costs()["expected_macs"]
        metrics = [run_epoch(learner) for _ in range(2)][-1]
        assert abs(first / target - 1) > 0.1
        assert metrics["expected_macs"] == pytest.approx(target, rel=0.05)

    def test_probabilities_are_those_of_options(self) -> None:
        learner = start(Darts(watch=QUIET, init_scale=1.0), CELLS)
        found = learner.alphas.option_probabilities(Softmax())
        assert list(found) == [d.name for d in CELLS.decisions]
        for decision in CELLS.decisions:
            assert len(found[decision.name]) == len(decision.options)
            assert float(found[decision.name].detach().sum()) == pytest.approx(1)
        real = learner.alphas.values["normal.0.op_0"].detach()[:7].softmax(0)
        torch.testing.assert_close(found["normal.0.op_0"].detach(), real)
