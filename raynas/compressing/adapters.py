"""Ranks of adapters under a budget: one adapter whose ranks are nested, and the search for a pattern of ranks in it."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from raynas.core.architecture import Architecture, Option
from raynas.core.result import SearchResult
from raynas.errors import InfeasibleError
from raynas.low_rank.elastic import ElasticAdapter
from raynas.low_rank.lora import trained_params
from raynas.low_rank.pairs import sizes_of
from raynas.low_rank.space import AdapterSpace, decision_name
from raynas.nn.modes import evaluating
from raynas.nn.supernet import Supernet
from raynas.oneshot import OneShot, SinglePath
from raynas.oneshot.base import Batch, Setup
from raynas.run.study import Study
from raynas.seeds import seed_of
from raynas.strategies import Strategy
from raynas.validate import positive, require_whole

__all__ = ["NestedAdapters", "loss_of", "ranks_by_sensitivity", "search_ranks"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of a network's output and targets that returns their mean loss."""


@dataclass(frozen=True, kw_only=True)
class NestedAdapters:
    """Trains the adapters of all patterns of ranks at once, as DyLoRA does (Valipour et al., EACL 2023).

    Each step trains a pattern that ``method`` draws; the ranks of layers are drawn one by one, whereas DyLoRA draws one
    for all, since patterns are what is searched. The given weights stay frozen.

    Args:
        loss: of outputs and targets.
        epochs: number of passes over the batches.
        learning_rate: of AdamW; falls to 0 along a cosine.
        method: one of ``raynas.oneshot`` that trains subnets.
        seed: of the first weights of adapters and of the patterns that are drawn.

    Raises:
        SettingError: if a number is out of range.
    """

    loss: Loss
    epochs: int = 1
    learning_rate: float = 2e-3
    method: OneShot = field(default_factory=SinglePath)
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("epochs", self.epochs, 1)
        positive("learning_rate", self.learning_rate)

    def train(self, space: AdapterSpace, batches: Sequence[Batch]) -> Supernet:
        """Return the supernet of a space, trained.

        Args:
            space: the space.
            batches: inputs and targets, in the order in which each epoch takes them.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, "nested adapters"))
            supernet = Supernet(space)
            trained = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
            optimizer = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=0.0)
            n_steps = self.epochs * len(batches)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(n_steps, 1))
            setup = Setup(
                supernet=supernet,
                optimizer=optimizer,
                n_epochs=self.epochs,
                n_steps=len(batches),
                seed=self.seed,
                loss=self._differentiable,
            )
            learner = self.method.start(setup)
            for _ in range(self.epochs):
                learner.begin_epoch()
                for batch in batches:
                    learner.step(batch)
                    schedule.step()
                learner.end_epoch(lambda: [])
        return supernet.eval()

    def _differentiable(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, which may be derived also for a pattern without adapters, of which nothing is trained."""
        found = self.loss(outputs, targets)
        return found if found.requires_grad else found + torch.zeros_like(found, requires_grad=True)


def search_ranks(
    space: AdapterSpace,
    supernet: Supernet,
    batches: Sequence[Batch],
    loss: Loss,
    *,
    budget: int,
    strategy: Strategy | None = None,
    num_samples: int = 100,
    points_to_evaluate: Sequence[Mapping[str, Option]] = (),
    seed: int = 0,
    path: Path | str | None = None,
) -> SearchResult:
    """Search the pattern of ranks with the least loss, of those whose adapters have few enough parameters.

    Args:
        space: the space.
        supernet: of the space, trained; patterns are scored with its weights.
        batches: inputs and targets that it was not trained on.
        loss: of outputs and targets.
        budget: maximum number of parameters of all adapters.
        strategy: of the search; see ``raynas.search``.
        num_samples: number of patterns that are scored.
        points_to_evaluate: patterns to score first.
        seed: of the strategy.
        path: folder of the search, which continues there; None for one that is deleted.

    Raises:
        InfeasibleError: if no pattern is within the budget.
    """

    def searched(folder: Path | str) -> SearchResult:
        study = Study(
            space,
            folder,
            strategy,
            objectives="min:loss",
            constraints=f"trained_params <= {budget}",
            metrics=[trained_params()],
            num_samples=num_samples,
            points_to_evaluate=points_to_evaluate,
            seed=seed,
        )
        while proposals := study.propose(1):
            for proposal in proposals:
                study.observe(proposal.trial, {"loss": loss_of(supernet, proposal.arch, batches, loss)})
        return study.result()

    if path is not None:
        return searched(path)
    with tempfile.TemporaryDirectory() as folder:
        return searched(Path(folder) / "ranks")


def loss_of(supernet: Supernet, arch: Mapping[str, Option], batches: Iterable[Batch], loss: Loss) -> float:
    """Return the mean loss of a pattern of ranks with the weights of a supernet."""
    with evaluating(supernet):
        losses = [float(loss(supernet(inputs, arch), targets)) for inputs, targets in batches]
    return sum(losses) / len(losses)


def ranks_by_sensitivity(
    space: AdapterSpace, supernet: Supernet, batches: Iterable[Batch], loss: Loss, *, budget: int
) -> Architecture:
    """Return the pattern of ranks that gives the budget to those parts of adapters that the loss depends on most.

    A score without a search, in the manner of AdaLoRA (Zhang et al., ICLR 2023, arXiv:2303.10512), which prunes during
    the training: the change of the loss to first order, if one of the rank-one parts of the largest adapter was
    removed. The budget goes step by step to the layer that gains most for its parameters.

    Args:
        space: the space.
        supernet: of the space, trained.
        batches: inputs and targets.
        loss: of outputs and targets.
        budget: maximum number of parameters of all adapters.

    Raises:
        InfeasibleError: if no pattern is within the budget.
    """
    gains = _gains(supernet, batches, loss, space.of_pattern({p: max(r) for p, r in space.ranks.items()}))
    options = {path: sorted(ranks) for path, ranks in space.ranks.items()}
    chosen = {path: ranks[0] for path, ranks in options.items()}
    while True:
        n_left = budget - space.n_trained(space.of_pattern(chosen))
        if n_left < 0:
            raise InfeasibleError(f"the smallest adapters have more parameters than the budget of {budget}")
        steps = []
        for path, rank in chosen.items():
            for larger in (option for option in options[path] if option > rank):
                cost = (larger - rank) * sum(sizes_of(space.layer(path)))
                if cost <= n_left:
                    steps.append((float(gains[decision_name(path)][rank:larger].sum()) / cost, path, larger))
        if not steps:
            return space.of_pattern(chosen)
        _, path, larger = max(steps)
        chosen[path] = larger


def _gains(supernet: Supernet, batches: Iterable[Batch], loss: Loss, arch: Architecture) -> dict[str, Tensor]:
    """Return for each decision the mean change of the loss by each rank-one part, to first order."""
    layers = [module for module in supernet.modules() if isinstance(module, ElasticAdapter)]
    totals = {layer.names["rank"]: torch.zeros(layer.largest["rank"]) for layer in layers}
    was_training = supernet.training
    supernet.eval()
    for inputs, targets in batches:
        supernet.zero_grad(set_to_none=True)
        loss(supernet(inputs, arch), targets).backward()
        for layer in layers:
            up = layer.shared.up.weight
            assert isinstance(up, Tensor) and up.grad is not None
            change = (up.detach() * up.grad).reshape(*up.shape[:2], -1).sum(-1)
            totals[layer.names["rank"]] += change.sum(0).abs()
    supernet.zero_grad(set_to_none=True)
    supernet.train(was_training)
    return totals
