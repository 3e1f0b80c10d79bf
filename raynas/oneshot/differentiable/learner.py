"""The learner that carries a differentiable search out, step by step."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.metrics.expected_cost import CostTable
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.selection import Mixture
from raynas.nn.supernet import Supernet
from raynas.oneshot.base import Batch, Learner, Setup
from raynas.oneshot.differentiable.alphas import Alphas, read_places
from raynas.oneshot.differentiable.curvature import dominant_eigenvalue
from raynas.oneshot.differentiable.derive import derive
from raynas.oneshot.differentiable.order import Unrolled
from raynas.oneshot.differentiable.skips import dropping_skips, skip_share
from raynas.oneshot.differentiable.stages import Stage, inherit, stage_starts, staged_space, swap_parameters
from raynas.oneshot.differentiable.stopping import Point
from raynas.oneshot.differentiable.watch import accuracies
from raynas.seeds import seed_of

if TYPE_CHECKING:
    from raynas.oneshot.differentiable.method import Differentiable

logger = logging.getLogger(__name__)


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
        places = read_places(self.supernet, edge_normalisation=method.edge_normalisation)
        device = next((p.device for p in self.supernet.parameters()), torch.device("cpu"))
        self.alphas = Alphas(places, scale=method.init_scale, seed=setup.seed, device=device)
        if not self.alphas.values:
            raise RaynasError(f"{self.space.name} has no decision that can be relaxed")
        self.arch_optimizer = self._new_optimizer()
        self.tables: list[CostTable] = [
            cost.table(self.space, setup.seed, device=device, n_threads=setup.latency_threads) for cost in method.costs
        ]
        self.history: list[Point] = []
        self.stopped_at: Architecture | None = None
        self.warned = False
        self._fit_supernet()
        if self.supernet.partial_channels > 1:
            self._try_out(device)

    @torch.no_grad()
    def _try_out(self, device: torch.device) -> None:
        """Let channels that cannot be split into k parts be told now, not in the first step."""
        with batch_statistics(self.supernet):
            self.supernet(self.supernet.space.example_input(2, device), self._mean_selection())

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
        weights = self._weights()
        loss = self._loss(train, self._selection(weights))
        self._with_penalties(loss).backward()
        self._apply_architecture_gradients(weights)
        self.apply_gradients()
        return loss

    def _architecture_step(self, train: Batch, valid: Batch) -> None:
        weights = self._weights()
        if self.method.second_order:
            self._unrolled_gradients(train, valid)
        else:
            with frozen(self.weights()):
                loss = self._with_penalties(self._loss(valid, self._selection(weights)))
                if loss.requires_grad:  # Not if "no operation" was drawn everywhere.
                    loss.backward()
        self._apply_architecture_gradients(weights)

    def _unrolled_gradients(self, train: Batch, valid: Batch) -> None:
        seed = int(self.rng.integers(2**62))

        def same_noise(batch: Batch, penalties: bool) -> Tensor:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                loss = self._loss(batch, self._selection(self._weights()))
            return self._with_penalties(loss) if penalties else loss

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
        fixed = self.alphas.weigh(
            lambda a: self.method.relaxation.weigh_fixed(a, self.progress), self.method.relaxation
        )
        fixed = {name: Mixture(m.weights.detach(), m.active) for name, m in fixed.items()}
        if self.method.perturbation is not None:
            fixed = self._perturbed(fixed, train)
        loss = self._loss(train, self._selection(fixed, detached=True))
        loss.backward()
        self.apply_gradients()
        return loss

    def _perturbed(self, fixed: Mapping[str, Mixture], train: Batch) -> dict[str, Mixture]:
        assert self.method.perturbation is not None

        def mixtures(weights: Mapping[str, Tensor]) -> dict[str, Mixture]:
            return {name: _with_active(fixed[name], weight) for name, weight in weights.items()}

        def loss(weights: Mapping[str, Tensor]) -> Tensor:
            return self._loss(train, self._selection(mixtures(weights), detached=True))

        with frozen(self.weights()), batch_statistics(self.supernet):
            active = {name: mixture.weights[list(mixture.indices)] for name, mixture in fixed.items()}
            return mixtures(self.method.perturbation(active, loss, self.progress))

    def _weights(self) -> dict[str, Mixture]:
        """Weights with a gradient."""
        return self.alphas.weigh(lambda a: self.method.relaxation.weigh(a, self.progress), self.method.relaxation)

    def _selection(self, weights: Mapping[str, Mixture], detached: bool = False) -> dict[str, Any]:
        auxiliary = self.method.auxiliary_skip * (1 - self.progress)
        return self.alphas.selection(weights, detached=detached, auxiliary_skip=auxiliary)

    def _loss(self, batch: Batch, selection: Mapping[str, Any]) -> Tensor:
        images, labels = batch
        return self.setup.loss(self.logits(images, selection), labels)

    def _with_penalties(self, loss: Tensor) -> Tensor:
        operations = list(self.alphas.operations().values())
        if self.method.costs:
            probabilities = self.alphas.option_probabilities(self.method.relaxation)
            for cost, table in zip(self.method.costs, self.tables, strict=True):
                loss = cost.applied(loss, table.expected(probabilities))
        for regulariser in self.method.regularisers if operations else ():
            loss = loss + regulariser(operations)
        return loss

    # --- what was found ------------------------------------------------------------------------------------------

    @property
    def derived(self) -> Architecture:
        return self.stopped_at if self.stopped_at is not None else self._derived_now()

    def _derived_now(self) -> Architecture:
        method = self.method
        with torch.no_grad():
            strengths = self.alphas.strengths(method.relaxation)
        return derive(self.alphas, strengths, self.space, max_skips=method.max_skips, exempt=method.exempt)

    def candidates(self) -> Sequence[Architecture]:
        return [self.derived]

    def watch(self, valid: Callable[[], Iterable[Batch]]) -> Mapping[str, float]:
        derived = self._derived_now()
        metrics = {
            "skip_share": skip_share(derived, self.alphas.skips),
            "alpha_entropy": self.alphas.entropy(self.method.relaxation),
            **self._expected_costs(),
            **self._gap(derived, valid),
            **self._curvature(valid),
        }
        self.history.append(Point(epoch=self.epoch, derived=derived, metrics=metrics))
        progress = (self.epoch + 1) / self.setup.n_epochs
        self._warn(progress)
        self._stop(progress)
        return metrics

    def _expected_costs(self) -> dict[str, float]:
        with torch.no_grad():
            probabilities = self.alphas.option_probabilities(self.method.relaxation) if self.tables else {}
            costs = zip(self.method.costs, self.tables, strict=True)
            return {f"expected_{cost.name}": float(table.expected(probabilities)) for cost, table in costs}

    def _mean_selection(self) -> dict[str, Any]:
        """Return the mixture without noise; its weights have a gradient."""
        relaxation = self.method.relaxation
        weights = self.alphas.weigh(lambda a: Mixture(relaxation.mean(a)), relaxation)
        selection = self._selection(weights)
        derived = self._derived_now()
        fixed = {n: derived[n] for n, p in self.alphas.places.items() if p.kind == "drawn" and n in derived}
        strongest = {
            n: Mixture(torch.ones_like(self.alphas.values[n]), active=_chosen(derived, n))
            for n, p in self.alphas.places.items()
            if p.kind == "drawn_inputs"
        }
        return {**selection, **fixed, **strongest}

    def _gap(self, derived: Architecture, valid: Callable[[], Iterable[Batch]]) -> dict[str, float]:
        batches = list(islice(valid(), self.method.watch.gap_batches))
        if not batches:
            return {}
        with torch.no_grad():
            selections = {"mixture": self._mean_selection(), "derived": derived}
        found = accuracies(self.supernet, selections, batches)
        return {
            "mixture_accuracy": found["mixture"],
            "derived_accuracy": found["derived"],
            "discretisation_gap": found["mixture"] - found["derived"],
        }

    def _curvature(self, valid: Callable[[], Iterable[Batch]]) -> dict[str, float]:
        watch = self.method.watch
        batch = next(iter(valid()), None) if watch.looks_at_curvature(self.epoch) else None
        if batch is None:
            return {}
        images, labels = (tensor[: watch.eigenvalue_images] for tensor in batch)
        with frozen(self.weights()), batch_statistics(self.supernet):
            value = dominant_eigenvalue(
                lambda: self._loss((images, labels), self._mean_selection()),
                self.alphas.parameters(),
                n_iterations=watch.n_iterations,
                seed=seed_of(self.setup.seed, "eigenvalue", self.epoch),
            )
        return {"dominant_eigenvalue": value}

    def _warn(self, progress: float) -> None:
        text = "" if self.warned else self.method.watch.warning(self.history, progress)
        if text:
            self.warned = True
            logger.warning(text)

    def _stop(self, progress: float) -> None:
        rule = self.method.stop
        stop = None if rule is None or self.stopped_at else rule(self.history, progress, self.alphas.skips)
        if stop:
            self.stopped_at, self.ended_because = stop.derived, stop.reason

    # --- state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "stage": self.stage_index,
            "alphas": self.alphas.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "tables": [table.to_dict() for table in self.tables],
            "history": [point.to_dict() for point in self.history],
            "warned": self.warned,
            "stopped_at": None if self.stopped_at is None else dict(self.stopped_at),
            "ended_because": self.ended_because,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.stage_index = int(state["stage"])
        self._fit_supernet()
        super().load_state_dict(state)
        self.alphas.load_state_dict(state["alphas"])
        self.arch_optimizer.load_state_dict(state["arch_optimizer"])
        self.tables = [CostTable.from_dict(table) for table in state["tables"]]
        self.history = [Point.from_dict(point) for point in state["history"]]
        self.warned, self.ended_because = bool(state["warned"]), str(state["ended_because"])
        self.stopped_at = None if state["stopped_at"] is None else Architecture(state["stopped_at"])


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Take no gradients of parameters until the context ends."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def _with_active(mixture: Mixture, active: Tensor) -> Mixture:
    """Return a mixture with other weights for its active options."""
    indices = torch.tensor(list(mixture.indices), device=active.device)
    return Mixture(torch.zeros_like(mixture.weights).index_copy(0, indices, active), mixture.active)


def _chosen(arch: Architecture, name: str) -> tuple[int, ...]:
    """Return the inputs that an architecture takes, by index; the first if the decision is not active."""
    return tuple(map(int, str(arch.get(name, 0)).split("+")))
