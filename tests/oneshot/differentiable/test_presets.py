"""Published methods: what each adds to the common search."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError, SpaceError
from raynas.nn import Supernet
from raynas.oneshot.differentiable import (
    PRESETS,
    Darts,
    DartsMinus,
    Differentiable,
    DrNas,
    EigenvalueJump,
    FairDarts,
    PcDarts,
    PDarts,
    RobustDarts,
    SkipCount,
    Softmax,
    Stage,
    Watch,
)
from raynas.oneshot.differentiable.skips import count_skips, dropping_skips
from tests.oneshot.differentiable.searches import CELLS, QUIET, run_epoch, selection_of, start
from tests.oneshot.spaces import Batch, batches, only_operations


class TestPartialChannels:
    def test_pc_darts(self) -> None:
        learner = start(PcDarts(watch=Watch(eigenvalue_every=1, n_iterations=1), warmup=0.0), CELLS)
        assert learner.supernet.partial_channels == 4
        selection = selection_of(learner)
        assert float(selection["normal.1.inputs"].weights.detach().sum()) == pytest.approx(1)
        assert not Darts().edge_normalisation
        before = learner.alphas.values["normal.1.inputs"].detach().clone()
        metrics = run_epoch(learner)
        assert not torch.equal(before, learner.alphas.values["normal.1.inputs"])
        assert {"derived_accuracy", "dominant_eigenvalue"} <= set(metrics)

    def test_channels_that_cannot_be_split_are_told_at_the_start(self) -> None:
        with pytest.raises(SpaceError, match=r"4 channels .* cannot be split into 3"):
            start(PcDarts(partial_channels=3), CELLS)

    def test_dr_nas_widens_and_inherits(self) -> None:
        method = DrNas(partial_channels=4, stages=(Stage(), Stage(partial_channels=2, keep=4)), warmup=0.0, watch=QUIET)
        learner = start(method, CELLS, n_epochs=2)
        run_epoch(learner)
        narrow, alphas = learner.supernet.state_dict(), [a.detach().clone() for a in learner.alphas.parameters()]
        learner.begin_epoch()
        wide = learner.supernet.state_dict()
        assert learner.supernet.partial_channels == 2 and all(len(k) == 4 for k in learner.alphas.kept.values())
        assert all(torch.equal(a, b) for a, b in zip(alphas, learner.alphas.parameters(), strict=True))
        assert set(narrow) == set(wide)
        grown = [name for name in wide if wide[name].shape != narrow[name].shape]
        assert grown
        for name in wide:
            part = wide[name][tuple(slice(n) for n in narrow[name].shape)]
            assert torch.equal(part, narrow[name])
        assert {id(p) for g in learner.setup.optimizer.param_groups for p in g["params"]} == set(
            map(id, learner.weights())
        )
        learner.step(batches(1)[0], batches(1, seed=1)[0])


class TestPDarts:
    def test_grows_drops_and_restricts(self) -> None:
        stages = tuple(
            replace(stage, space={"cells": cells}) for stage, cells in zip(PDarts().stages, (3, 4, 5), strict=True)
        )
        learner = start(PDarts(stages=stages, watch=QUIET, init_scale=1.0), CELLS, n_epochs=3)
        old, seen = learner.supernet, []
        for _ in range(3):
            run_epoch(learner)
            net: Any = learner.supernet.net
            selection = selection_of(learner)
            seen.append((len(net.cells), len(learner.alphas.kept["normal.0.op_0"])))
            assert all(len(m.indices) <= seen[-1][1] for n, m in selection.items() if ".op_" in n)
        assert seen == [(3, 8), (4, 5), (5, 3)] and learner.supernet is not old
        assert {id(p) for g in learner.setup.optimizer.param_groups for p in g["params"]} == set(
            map(id, learner.weights())
        )
        assert count_skips(learner.derived, learner.alphas.skips, ("reduce",))["normal"] <= 2
        assert CELLS.canonical(learner.derived) == learner.derived

    def test_keeps_the_strongest_operations(self) -> None:
        learner = start(Darts(watch=QUIET, init_scale=1.0), CELLS)
        strongest = {n: set(v.topk(3).indices.tolist()) for n, v in learner.alphas.values.items()}
        learner.alphas.keep(3, Softmax())
        assert {n: set(k) for n, k in learner.alphas.kept.items()} == strongest
        weights = learner.alphas.strengths(Softmax())
        assert all(float(w.detach().sum()) == pytest.approx(1) and (w > 0).sum() == 3 for w in weights.values())

    def test_needs_a_space_that_can_grow(self) -> None:
        with pytest.raises(RaynasError, match="no field 'cells'"):
            start(PDarts(), only_operations())
        with pytest.raises(RaynasError, match="other decisions"):
            start(Darts(stages=(Stage(space={"cells": 4}),)), replace(CELLS, macro=True))

    def test_dropout_behind_skips_leaves_nothing_behind(self) -> None:
        net = Supernet(only_operations()).train()
        arch = Architecture({"first": "skip", "second": "skip", "pool": "max"})
        images, _ = batches(1)[0]
        plain = net(images, arch)
        with dropping_skips(net, 0.5):
            assert not torch.equal(net(images, arch), plain)
            net.eval()
            assert torch.equal(net(images, arch), plain)
        assert torch.equal(net.train()(images, arch), plain)
        assert not any(module._forward_hooks for module in net.modules())


class TestFairDarts:
    def test_has_the_numbers_of_the_authors(self) -> None:
        """Rate 3e-3, betas 0.9 and 0.999, decay 1e-3, zeros, seven operations, weight 10, threshold 0.85."""
        method = FairDarts(watch=QUIET)
        assert (method.arch_lr, method.arch_betas, method.arch_weight_decay) == (3e-3, (0.9, 0.999), 1e-3)
        assert (method.threshold, method.regularisers[0].weight) == (0.85, 10)
        values = start(method, CELLS).alphas.values
        assert {len(v) for v in values.values()} == {7} and all(not v.detach().any() for v in values.values())
        assert {len(v) for v in start(Darts(watch=QUIET), CELLS).alphas.values.values()} == {8}

    def test_reports_the_operations_that_the_authors_would_leave_out(self) -> None:
        learner = start(FairDarts(watch=QUIET), CELLS)
        with torch.no_grad():
            for i, value in enumerate(learner.alphas.values.values()):
                value[3] = 1.7 if i % 2 else 1.8  # sigmoids of 0.846 and 0.858
        derived = learner.derived
        chosen = [n for n in learner.alphas.values if n in derived]
        weak = [n for i, n in enumerate(learner.alphas.values) if i % 2 and n in derived]
        assert 0 < len(weak) < len(chosen)
        assert learner.relaxed.weak_share(derived) == pytest.approx(len(weak) / len(chosen))
        assert "weak_share" in run_epoch(learner) and "weak_share" not in run_epoch(start(Darts(watch=QUIET), CELLS))


class TestDrNas:
    def test_has_the_numbers_of_the_authors(self) -> None:
        """6e-4 with decay 1e-3, no divergence, 1/6 then 1/4 of the channels, 7 then 4 operations, 10 of 25 epochs."""
        method = DrNas()
        assert (method.arch_lr, method.arch_betas, method.arch_weight_decay) == (6e-4, (0.5, 0.999), 1e-3)
        assert method.regularisers == () and method.warmup == 10 / 25 and not method.no_operation
        assert method.partial_channels == 6
        assert [(s.partial_channels, s.keep) for s in method.stages] == [(None, None), (4, 4)]

    def test_edges_are_ranked_by_a_softmax(self) -> None:
        """The best operations have softmaxes 0.96, 0.90 and 0.96, and means 0.95, 0.87 and 0.69."""
        learner = start(DrNas(partial_channels=4, stages=(Stage(),), watch=QUIET), CELLS)
        best_and_others = {"op_0": (1.0, -4.0), "op_1": (1.0, -3.0), "op_2": (4.0, -1.0)}
        with torch.no_grad():
            for name, value in learner.alphas.values.items():
                best, others = best_and_others[name.rpartition(".")[2]]
                value.fill_(others)
                value[3] = best
        relaxation = learner.method.relaxation
        mean = learner.alphas.strengths(relaxation)
        assert float(mean["normal.1.op_1"].detach()[3]) == pytest.approx(2 / (2 + 6 * math.exp(-3)))
        assert learner.derived["normal.1.inputs"] == "0+2"


class TestRemedies:
    def test_the_auxiliary_skip_decays(self) -> None:
        learner = start(DartsMinus(watch=QUIET), only_operations())
        shares = []
        for epoch in (0, 2, 4):
            learner.epoch = epoch
            weights = learner.relaxed.weights(learner.progress)
            with_it: dict[str, Any] = dict(learner.relaxed.selection(weights, learner.progress))
            without = learner.alphas.selection(weights)
            shares.append([float((with_it[n].weights - without[n].weights).detach().sum()) for n in ("first", "pool")])
            assert torch.equal(with_it["first"].weights[1:], without["first"].weights[1:])
        assert shares == [pytest.approx([1, 0]), pytest.approx([0.5, 0]), pytest.approx([0, 0])]

    def test_the_auxiliary_skip_is_a_second_skip(self) -> None:
        learner = start(DartsMinus(watch=QUIET), only_operations())
        images, _ = batches(1)[0]
        learner.supernet.eval()
        place = next(p for p in learner.supernet.expanded_choices if p.name == "first")
        seen: list[tuple[Tensor, Tensor]] = []
        place.register_forward_hook(lambda m, i, o: seen.append((i[0], o)))
        with torch.no_grad():
            weights = learner.relaxed.weights(learner.progress)
            learner.supernet(images, learner.relaxed.selection(weights, learner.progress))
            learner.supernet(images, learner.alphas.selection(weights))
        (x, with_it), (_, without) = seen
        torch.testing.assert_close(with_it, without + x)

    @pytest.mark.parametrize("name", ["smooth_darts", "smooth_darts_adv"])
    def test_weights_are_trained_under_perturbed_weights_only(self, name: str) -> None:
        learner = start(PRESETS[name](watch=QUIET), only_operations())
        learner.epoch = 3
        learner.begin_epoch()
        seen: list[Tensor] = []
        original = learner._loss

        def loss(batch: Batch, selection: Any) -> Tensor:
            seen.append(selection["first"].weights.detach().clone())
            return original(batch, selection)

        learner._loss = loss  # type: ignore[method-assign]
        before = [b.clone() for b in learner.supernet.buffers()]
        alpha = learner.alphas.values["first"].detach().clone()
        learner._weight_step(batches(1)[0])
        radius = 0.03 + 0.27 * 0.75
        assert 0.01 < float((seen[-1] - alpha.softmax(0)).abs().max()) < 2 * radius
        assert len(seen) == (10 if name.endswith("adv") else 1) and float(seen[-1].sum()) == pytest.approx(1)
        assert torch.equal(alpha, learner.alphas.values["first"])
        counts = [int(new - old) for old, new in zip(before, learner.supernet.buffers(), strict=True) if old.ndim == 0]
        assert set(counts) == {1}  # The attack left no trace in the running statistics.

    def test_robust_darts_goes_back_and_stays_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method = RobustDarts(stop=EigenvalueJump(window=1, delta=1, start=0.0), arch_lr=1.0, init_scale=1.0)
        learner = start(method, only_operations())
        values = iter([0.1, 0.1, 5.0, 5.0])
        monkeypatch.setattr(learner.monitor, "curvature", lambda observed: {"dominant_eigenvalue": next(values)})
        derived = []
        for _ in range(3):
            assert not learner.ended_because
            run_epoch(learner)
            derived.append(learner.relaxed.derived())
        assert "rose from 0.1 to 5" in learner.ended_because
        assert learner.derived == derived[1] == learner.candidates()[0]
        again = start(method, only_operations())
        again.load_state_dict(learner.state_dict())
        assert again.derived == learner.derived and again.ended_because == learner.ended_because

    def test_darts_plus_ends_at_two_skips(self) -> None:
        learner = start(Darts(stop=SkipCount(start=0.0), watch=QUIET), only_operations())
        with torch.no_grad():
            learner.alphas.values["first"][0] = learner.alphas.values["second"][0] = 3.0
        run_epoch(learner)
        assert "2 skip connections" in learner.ended_because


def test_presets_can_be_made_without_arguments() -> None:
    assert list(PRESETS) == sorted(PRESETS) and all(isinstance(cls(), Differentiable) for cls in PRESETS.values())
