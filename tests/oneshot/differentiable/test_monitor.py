"""Figures after each epoch, against brute force."""

import logging
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.expansion import ExpandedChoice
from raynas.oneshot.differentiable import (
    Darts,
    DifferentiableLearner,
    Softmax,
    Watch,
)
from tests.oneshot.differentiable.searches import QUIET, run_epoch, smooth, start
from tests.oneshot.spaces import Batch, batches, only_operations


class TestWatching:
    def test_figures_against_brute_force(self) -> None:
        learner = start(Darts(watch=Watch(eigenvalue_every=1, n_iterations=50), init_scale=1.0), smooth())
        learner.begin_epoch()
        learner.step(batches(1)[0], batches(1, seed=1)[0])
        state = {name: tensor.clone() for name, tensor in learner.supernet.state_dict().items()}
        valid = batches(3, seed=5)
        metrics = learner.end_epoch(lambda: valid)
        assert all(torch.equal(tensor, state[n]) for n, tensor in learner.supernet.state_dict().items())
        assert learner.supernet.training and all(p.requires_grad for p in learner.weights())

        derived = learner.derived
        assert metrics["skip_share"] == sum(option == "skip" for option in derived.values()) / 3
        weights = {n: v.detach().softmax(0) for n, v in learner.alphas.values.items()}
        entropies = [float(-(w * w.log()).sum() / torch.tensor(float(len(w))).log()) for w in weights.values()]
        assert metrics["alpha_entropy"] == pytest.approx(sum(entropies) / 3, rel=1e-5)

        subnet = learner.supernet.extract(derived)
        with torch.no_grad(), batch_statistics(subnet):
            right = sum(int((subnet(x).argmax(1) == y).sum()) for x, y in valid)
        with torch.no_grad(), batch_statistics(learner.supernet):
            mixed = sum(int((learner.supernet(x, weights).argmax(1) == y).sum()) for x, y in valid)
        assert metrics["derived_accuracy"] == pytest.approx(right / 24)
        assert metrics["discretisation_gap"] == pytest.approx((mixed - right) / 24)
        assert metrics["dominant_eigenvalue"] == pytest.approx(self.exact(learner, valid[0]), rel=0.05)

    def exact(self, learner: DifferentiableLearner, batch: Batch) -> float:
        names, sizes = list(learner.alphas.values), [len(v) for v in learner.alphas.values.values()]

        def loss(flat: Tensor) -> Tensor:
            weights = {n: part.softmax(0) for n, part in zip(names, flat.split(sizes), strict=True)}
            x = batch[0]
            for layer in learner.supernet.net.children():
                if isinstance(layer, ExpandedChoice):
                    parts = [layer.branch(option)(x) for option in layer.choice.factories]
                    x = torch.stack([w * y for w, y in zip(weights[layer.name], parts, strict=True)]).sum(0)
                else:
                    x = layer(x)
            return learner.setup.loss(x, batch[1])

        with batch_statistics(learner.supernet):
            flat = torch.cat([v.detach() for v in learner.alphas.values.values()])
            values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))
        return float(values[values.abs().argmax()])

    def test_entropy_goes_from_one_to_zero(self) -> None:
        learner = start(Darts(watch=QUIET, init_scale=0.0), only_operations())
        assert learner.alphas.entropy(Softmax()) == pytest.approx(1)
        with torch.no_grad():
            for value in learner.alphas.values.values():
                value[0] = 100.0
        assert learner.alphas.entropy(Softmax()) == pytest.approx(0, abs=1e-5)

    def test_warns_once(self, caplog: pytest.LogCaptureFixture) -> None:
        learner = start(Darts(watch=replace(QUIET, start=0.0)), only_operations())
        with torch.no_grad():
            learner.alphas.values["first"][0] = learner.alphas.values["second"][0] = 3.0
        with caplog.at_level(logging.WARNING):
            run_epoch(learner)
            run_epoch(learner)
        assert [record.message for record in caplog.records] == [
            "the search collapses: after epoch 0 100% of the derived operations are skip connections; end it here, or "
            "take a method against that, such as robust_darts, darts_minus, smooth_darts, p_darts or dr_nas"
        ]

    def test_looks_as_often_as_asked(self) -> None:
        learner = start(Darts(watch=Watch(eigenvalue_every=2, gap_batches=0, n_iterations=1)), only_operations())
        looked = ["dominant_eigenvalue" in run_epoch(learner) for _ in range(4)]
        assert looked == [True, False, True, False]
