import io
import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError, SpaceError
from raynas.metrics import untrained_metrics
from raynas.nn import Choice, InputChoice, Mixture, ModelSpace, Supernet
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.expansion import ExpandedChoice
from raynas.oneshot.base import Setup
from raynas.oneshot.differentiable import (
    PRESETS,
    Darts,
    DartsMinus,
    Differentiable,
    DifferentiableLearner,
    DrNas,
    EigenvalueJump,
    ExpectedCost,
    Gdas,
    PcDarts,
    PDarts,
    Proxyless,
    RobustDarts,
    SkipCount,
    Snas,
    Softmax,
    Stage,
    Watch,
)
from raynas.oneshot.differentiable.derive import derive
from raynas.oneshot.differentiable.skips import count_skips, dropping_skips
from raynas.search_spaces import DARTS, NASBench201
from tests.oneshot.spaces import Batch, batches, everything, only_operations, operations

QUIET = Watch(gap_batches=0, eigenvalue_every=0)
CELLS = DARTS(input_shape=(2, 6, 6), n_classes=2, channels=4, cells=3, n_nodes=2, affine=False)


class Wrong(nn.Module):
    """Noise in place of what comes in."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0 + 3 * torch.randn_like(x)


class Right(nn.Module):
    """Lets everything through, and is no skip connection."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def two_layers() -> nn.Module:
    choices = [Choice({"wrong": Wrong, "right": Right, "noisy": lambda: nn.Dropout(0.95)}) for _ in range(2)]
    pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(2, 4, 1), *choices, *pool, nn.Linear(4, 2))


def smooth() -> ModelSpace:
    """Differences of gradients equal derivatives only where there are no kinks."""

    def operation() -> nn.Module:
        convs = {"tanh": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.BatchNorm2d(4))}
        return Choice({"skip": nn.Identity, **convs, "conv": lambda: nn.Conv2d(4, 4, 1)})

    def model() -> nn.Module:
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(nn.Conv2d(2, 4, 1), *(operation() for _ in range(3)), *pool, nn.Linear(4, 2))

    return ModelSpace(model, input_shape=(2, 6, 6))


@dataclass(frozen=True, kw_only=True)
class Chain(ModelSpace):
    """Cells in a row, each with the same two operations."""

    input_shape: tuple[int, ...] = (2, 6, 6)
    cells: int = 1

    def factory(self) -> nn.Module:
        cells = [Choice(operations(4), label=label) for _ in range(self.cells) for label in ("first", "second")]
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(nn.Conv2d(2, 4, 1), *cells, *pool, nn.Linear(4, 2))


def known() -> ModelSpace:
    return ModelSpace(two_layers, input_shape=(2, 6, 6))


def start(method: Differentiable, space: ModelSpace, **changed: Any) -> DifferentiableLearner:
    torch.manual_seed(0)
    supernet = Supernet(space, partial_channels=method.partial_channels)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9, weight_decay=3e-4)
    return method.start(replace(Setup(supernet=supernet, optimizer=optimizer, n_epochs=4, n_steps=2), **changed))


def selection_of(learner: DifferentiableLearner) -> dict[str, Any]:
    return dict(learner.relaxed.selection(learner.relaxed.weights(learner.progress), learner.progress))


def run_epoch(learner: DifferentiableLearner, n_steps: int | None = None) -> dict[str, float]:
    learner.begin_epoch()
    n = n_steps or learner.setup.n_steps
    train, valid = (batches(n, seed=100 * learner.epoch + i) for i in range(2))
    for one, two in zip(train, valid, strict=True):
        learner.step(one, two if learner.method.uses_valid else None)
    return dict(learner.end_epoch(lambda: valid))


def run(method: Differentiable, space: ModelSpace, **changed: Any) -> DifferentiableLearner:
    learner = start(method, space, **changed)
    for _ in range(learner.setup.n_epochs):
        run_epoch(learner)
    return learner


FAST: dict[str, Any] = {"arch_lr": 0.1, "arch_weight_decay": 0.0, "watch": QUIET, "warmup": 0.0}


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


class TestDerive:
    @pytest.mark.parametrize("edge_normalisation", [False, True])
    def test_takes_the_strongest_edges(self, edge_normalisation: bool) -> None:
        """The paper's rule, written out: each node keeps the two edges whose best operation but "none" is best."""
        learner = start(Darts(edge_normalisation=edge_normalisation, init_scale=1.0, watch=QUIET), CELLS)
        values = learner.alphas.values
        operations = list(CELLS.decisions[1].options)
        derived = learner.derived
        for cell in ("normal", "reduce"):
            for node in (0, 1):
                best, strength = {}, {}
                edges = values[f"{cell}.{node}.inputs"].softmax(0).tolist() if edge_normalisation else [1.0] * 3
                for i in range(2 + node):
                    real = values[f"{cell}.{node}.op_{i}"].detach().softmax(0)[:7]
                    best[i], strength[i] = operations[int(real.argmax())], float(real.max()) * edges[i]
                chosen = sorted(sorted(strength, key=lambda i: -strength[i])[:2])
                assert derived[f"{cell}.{node}.inputs"] == "+".join(map(str, chosen))
                assert all(derived[f"{cell}.{node}.op_{i}"] == best[i] for i in chosen)

    def test_none_is_chosen_only_where_it_is_an_option(self) -> None:
        learner = start(Darts(watch=QUIET), NASBench201(input_shape=(2, 6, 6), n_classes=2, channels=2, cells=1))
        with torch.no_grad():
            learner.alphas.values["edge_0_1"][0] = 5.0
        assert learner.derived["edge_0_1"] == "none"

    def test_surplus_skips_give_way(self) -> None:
        learner = start(Darts(watch=QUIET), CELLS)
        skip = list(CELLS.decisions[1].options).index("skip_connect")
        with torch.no_grad():
            for i, value in enumerate(learner.alphas.values.values()):
                value.zero_()
                value[skip], value[3] = 3.0 + 0.1 * i, 1.0
        weights = learner.alphas.strengths(Softmax())
        before = derive(learner.alphas, weights, CELLS)
        assert count_skips(before, learner.alphas.skips) == {"normal": 4, "reduce": 4}
        after = derive(learner.alphas, weights, CELLS, max_skips=2, exempt=("reduce",))
        assert count_skips(after, learner.alphas.skips)["reduce"] == 4
        assert count_skips(after, learner.alphas.skips)["normal"] == 2
        kept = [name for name, option in after.items() if option == "skip_connect" and name.startswith("normal")]
        assert kept == ["normal.1.op_1", "normal.1.op_2"]  # The two strongest.


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
        assert len(seen) == (8 if name.endswith("adv") else 1) and float(seen[-1].sum()) == pytest.approx(1)
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


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"partial_channels": 0}, "partial_channels"),
        ({"stages": ()}, "stage"),
        ({"warmup": 1.0}, "warmup"),
        ({"arch_lr": 0.0}, "rates"),
        ({"arch_betas": (0.5, 1.0)}, "arch_betas"),
        ({"max_skips": -1}, "max_skips"),
    ],
)
def test_refuses_impossible_settings(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Darts(**settings)


def test_second_order_needs_held_out_batches() -> None:
    with pytest.raises(ValueError, match="held-out"):
        Snas(second_order=True)


def test_presets_can_be_made_without_arguments() -> None:
    assert list(PRESETS) == sorted(PRESETS) and all(isinstance(cls(), Differentiable) for cls in PRESETS.values())
