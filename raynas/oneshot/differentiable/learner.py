"""The learner that carries a differentiable search out, step by step."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.metrics.expected_cost import CostTable
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.selection import Mixture, Selection
from raynas.nn.supernet import Supernet
from raynas.oneshot.base import Batch, Learner, Setup
from raynas.oneshot.differentiable.alphas import Alphas, read_places
from raynas.oneshot.differentiable.frozen import frozen
from raynas.oneshot.differentiable.monitor import Monitor, Observed
from raynas.oneshot.differentiable.order import Unrolled
from raynas.oneshot.differentiable.reinforce import Reinforce, Reinforcement
from raynas.oneshot.differentiable.relaxed import RelaxedArchitecture
from raynas.oneshot.differentiable.skips import dropping_skips
from raynas.oneshot.differentiable.stages import Stage, inherit, stage_starts, staged_space, swap_parameters
from raynas.seeds import seed_of

if TYPE_CHECKING:
    from raynas.oneshot.differentiable.method import Differentiable


class DifferentiableLearner(Learner):
    """Carries ``Differentiable`` out: a step of the architecture on the held-out batch, then one of the weights.

    ``supernet`` is that of the present stage, which need not be the one of the setup.

    Args:
        method: the settings.
        setup: what it works with.

    Raises:
        RaynasError: if there are fewer epochs than stages, the space cannot change as stages want, nothing can be
            relaxed, or channels cannot be split into k parts.
    """

    def __init__(self, method: "Differentiable", setup: Setup) -> None:
        super().__init__(setup)
        self.method = method
        self.space = setup.supernet.space
        self.starts = stage_starts(method.stages, setup.n_epochs)
        self.stage_index = 0
        places = read_places(
            self.supernet, edge_normalisation=method.edge_normalisation, no_operation=method.no_operation
        )
        device = next((p.device for p in self.supernet.parameters()), torch.device("cpu"))
        self.alphas = Alphas(places, scale=method.init_scale, seed=setup.seed, device=device)
        if not self.alphas.values:
            raise RaynasError(f"{self.space.name} has no decision that can be relaxed")
        self.arch_optimizer = self._new_optimizer()
        tables = [
            cost.table(self.space, setup.seed, device=device, n_threads=setup.latency_threads) for cost in method.costs
        ]
        self.relaxed = RelaxedArchitecture(method, self.alphas, self.space, tables)
        self.reinforcement = Reinforcement(method.reinforce or Reinforce(), self.relaxed)
        self.monitor = Monitor(self.relaxed, n_epochs=setup.n_epochs, seed=setup.seed)
        self._fit_supernet()
        if self.supernet.partial_channels > 1:  # Channels that cannot be split into k parts fail now, not in a step.
            with torch.no_grad(), batch_statistics(self.supernet):
                self.supernet(self.supernet.space.example(2, device), self.relaxed.mean_selection(self.progress))

    def _new_optimizer(self) -> torch.optim.Adam:
        method = self.method
        return torch.optim.Adam(
            self.alphas.parameters(), method.arch_lr, method.arch_betas, weight_decay=method.arch_weight_decay
        )

    # --- stages --------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        """The present part of the search."""
        return self.method.stages[self.stage_index]

    @property
    def stage_progress(self) -> float:
        """The share of the present stage that is done, in [0, 1]."""
        start, end = self.starts[self.stage_index : self.stage_index + 2]
        done = self.epoch - start + self.step_in_epoch / self.setup.n_steps
        return min(max(done / (end - start), 0.0), 1.0)

    def begin_epoch(self) -> None:
        while self.stage_index + 1 < len(self.method.stages) and self.epoch >= self.starts[self.stage_index + 1]:
            self._enter_next_stage()
        super().begin_epoch()

    def _enter_next_stage(self) -> None:
        before = self.supernet
        self.stage_index += 1
        if self.stage.keep is not None:
            self.alphas.keep(self.stage.keep, self.method.relaxation)
        if self.stage.fresh:
            self.alphas.reset(seed_of(self.setup.seed, "stage", self.stage_index))
            self.arch_optimizer = self._new_optimizer()
        self._fit_supernet()
        if not self.stage.fresh and self.supernet is not before:
            inherit(before, self.supernet)

    def _fit_supernet(self) -> None:
        """Make the supernet that the stage wants, unless it is the one that is there."""
        k = self.stage.partial_channels or self.method.partial_channels
        space = staged_space(self.space, self.stage)
        same = self.supernet.space == space and self.supernet.partial_channels == k
        if same and not (self.stage.fresh and self.stage_index > 0):
            return
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(self.setup.seed, "supernet of stage", self.stage_index))
            supernet = Supernet(space, partial_channels=k)
        device = next((p.device for p in self.setup.supernet.parameters()), torch.device("cpu"))
        self.supernet = supernet.to(device)
        swap_parameters(self.setup.optimizer, self.supernet.parameters())

    # --- steps ---------------------------------------------------------------------------------------------------

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        with dropping_skips(self.supernet, self.stage.dropout_at(self.stage_progress, self.method.warmup)):
            if not self.method.uses_valid:
                return self._joint_step(train)
            if valid is None:
                raise RaynasError(f"{type(self.method).__name__} learns the architecture on held-out batches")
            if self.stage_progress >= self.method.warmup:
                self._architecture_step(train, valid)
            return self._weight_step(train)

    def _joint_step(self, train: Batch) -> Tensor:
        """One step of both on the same batch, by one gradient."""
        if self.stage_progress < self.method.warmup:
            return self._weight_step(train)
        weights = self.relaxed.weights(self.progress)
        loss = self._loss(train, self.relaxed.selection(weights, self.progress))
        self.relaxed.penalised(loss).backward()
        self._apply_architecture_gradients(weights)
        self.apply_gradients()
        return loss

    def _architecture_step(self, train: Batch, valid: Batch) -> None:
        if self.method.reinforce:
            self.reinforcement.backward(lambda weights: self._accuracy(valid, weights), self.progress)
            self._apply_architecture_gradients({})  # every option may move
            return
        weights = self.relaxed.weights(self.progress)
        if self.method.second_order:
            self._unrolled_gradients(train, valid)
        else:
            with frozen(self.weights()):
                loss = self.relaxed.penalised(self._loss(valid, self.relaxed.selection(weights, self.progress)))
                if loss.requires_grad:  # Not if "no operation" was drawn everywhere.
                    loss.backward()
        self._apply_architecture_gradients(weights)

    def _accuracy(self, batch: Batch, weights: Mapping[str, Mixture]) -> float:
        inputs, labels = batch
        with torch.no_grad(), batch_statistics(self.supernet):
            logits = self.logits(inputs, self.relaxed.selection(weights, self.progress, detached=True))
        return float(self.averaged((logits.argmax(1) == labels).float().mean()))

    def _unrolled_gradients(self, train: Batch, valid: Batch) -> None:
        seed = int(self.rng.integers(2**62))

        def same_noise(batch: Batch, penalties: bool) -> Tensor:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                loss = self._loss(batch, self.relaxed.selection(self.relaxed.weights(self.progress), self.progress))
            return self.relaxed.penalised(loss) if penalties else loss

        unrolled = Unrolled(
            [weight for weight in self.weights() if weight.requires_grad],
            self.alphas.parameters(),
            self.setup.optimizer,
            train=lambda: same_noise(train, False),
            valid=lambda: same_noise(valid, True),
        )
        gradients, _ = unrolled.gradients()
        for alpha, gradient in zip(self.alphas.parameters(), gradients, strict=True):
            alpha.grad = gradient

    def _apply_architecture_gradients(self, weights: Mapping[str, Mixture]) -> None:
        used = [alpha for alpha in self.alphas.parameters() if alpha.grad is not None]
        self.setup.average_gradients(used)
        before = {name: value.detach().clone() for name, value in self.alphas.values.items()}
        self.arch_optimizer.step()
        self.arch_optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, mixture in weights.items():
                value = self.alphas.values[name]
                value.copy_(self.method.relaxation.settled(before[name], value, mixture))

    def _weight_step(self, train: Batch) -> Tensor:
        fixed = self.relaxed.fixed_weights(self.progress)
        if self.method.perturbation is not None:
            fixed = self._perturbed(fixed, train)
        loss = self._loss(train, self.relaxed.selection(fixed, self.progress, detached=True))
        loss.backward()
        self.apply_gradients()
        return loss

    def _perturbed(self, fixed: Mapping[str, Mixture], train: Batch) -> dict[str, Mixture]:
        assert self.method.perturbation is not None

        def mixtures(weights: Mapping[str, Tensor]) -> dict[str, Mixture]:
            return {name: _with_active(fixed[name], weight) for name, weight in weights.items()}

        def loss(weights: Mapping[str, Tensor]) -> Tensor:
            return self._loss(train, self.relaxed.selection(mixtures(weights), self.progress, detached=True))

        with frozen(self.weights()), batch_statistics(self.supernet):
            active = {name: mixture.weights[list(mixture.indices)] for name, mixture in fixed.items()}
            return mixtures(self.method.perturbation(active, loss, self.progress))

    def _loss(self, batch: Batch, selection: Selection) -> Tensor:
        images, labels = batch
        return self.setup.loss(self.logits(images, selection), labels)

    # --- results and state ---------------------------------------------------------------------------------------

    @property
    def derived(self) -> Architecture:
        stopped_at = self.monitor.stopped_at
        return self.within_limits(stopped_at if stopped_at is not None else self.relaxed.derived())

    def candidates(self) -> Sequence[Architecture]:
        return [self.derived]

    def option_weights(self) -> dict[str, dict[str, float]]:
        return self.alphas.named_weights(self.method.relaxation)

    def watch(self, valid: Callable[[], Iterable[Batch]]) -> Mapping[str, float]:
        metrics = self.monitor.observe(
            Observed(epoch=self.epoch, progress=self.progress, supernet=self.supernet, loss=self._loss, valid=valid)
        )
        self.ended_because = self.monitor.ended_because
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "stage": self.stage_index,
            "alphas": self.alphas.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "baseline": self.reinforcement.baseline,
            "tables": [table.to_dict() for table in self.relaxed.tables],
            **self.monitor.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.stage_index = int(state["stage"])
        self._fit_supernet()
        super().load_state_dict(state)
        self.alphas.load_state_dict(state["alphas"])
        self.arch_optimizer.load_state_dict(state["arch_optimizer"])
        self.reinforcement.baseline = state["baseline"]
        self.relaxed.tables = [CostTable.from_dict(table) for table in state["tables"]]
        self.monitor.load_state_dict(state)
        self.ended_because = self.monitor.ended_because


def _with_active(mixture: Mixture, active: Tensor) -> Mixture:
    """Return a mixture with other weights for its active options."""
    indices = torch.tensor(list(mixture.indices), device=active.device)
    return Mixture(torch.zeros_like(mixture.weights).index_copy(0, indices, active), mixture.active)
