"""Progressive search: from cells of one block to larger ones, which a predictor chooses.

Liu et al., "Progressive Neural Architecture Search" (ECCV 2018, arXiv:1712.00559), algorithm 1: evaluate the cells of
one block; then, block by block, extend the best by every possible block, predict all extensions by an ensemble that was
fitted to the evaluations so far (``fold_ensemble``), and evaluate the K most promising. Deviations:

- A space has one number of blocks. What is not added yet is left open as the space says (``raynas.core.blocks``): in
  NAS-Bench-201 so that the cell computes exactly what the smaller one does; in NASNet by identities behind the last
  block, which double it; in DARTS by skip connections from the two newest states, as all its nodes are in the output.
- The cells of DARTS and NASNet are two, normal and reducing, where the paper has one: they get their blocks in turn.
- Of more than 10,000 extensions that many are drawn; the paper predicts all.
- K follows the number of trials, which are shared out evenly among the sizes; the paper has 256, and 1,160 trials.
- The predictor learns ranks, so that the objective may have any unit.
- When nothing is left to add, the best are refined by single changes, where the paper ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from raynas.core.architecture import Architecture, Option
from raynas.core.blocks import Block, blocks_of, extensions
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, refuse_continuous
from raynas.strategies.novelty import mutate_until_new
from raynas.strategies.penalized_reward import PenalizedReward, ranks
from raynas.strategies.predictors.fold_ensemble import FoldEnsemble

MAX_EXTENSIONS = 10_000
"""Maximum number of extensions that are predicted for a size."""

UNKNOWN_BUDGET = 100
"""Number of trials that K is for where nobody says how many there will be."""


@dataclass(frozen=True, kw_only=True)
class Progressive(Strategy):
    """Beam search over the number of blocks; one objective, no continuous decisions.

    With several trials at a time it waits for the last of each size.

    Args:
        budget: number of evaluations that are shared out among the sizes; None for the number of trials of the search.
            At least 1.
        beam_size: K, the number of architectures of each size but the first; at least 1. None for an even share of the
            budget. The paper has 256.
        n_first: the maximum number of architectures of one block, drawn at random if there are more; at least 1. None
            for an even share of the budget. The paper has all.
    """

    budget: int | None = None
    beam_size: int | None = None
    n_first: int | None = None

    def __post_init__(self) -> None:
        for name in ("budget", "beam_size", "n_first"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"Progressive needs {name} >= 1, got {value}")

    def for_budget(self, n_trials: int) -> "Progressive":
        """Share out a number of trials, unless ``budget`` says another one."""
        return self if self.budget else replace(self, budget=n_trials)

    def sizes(self, n_blocks: int, n_of_one: int) -> tuple[int, int]:
        """Return the numbers of architectures of one block and of each further one.

        Args:
            n_blocks: number of blocks.
            n_of_one: number of architectures of one block that there are.
        """
        budget = self.budget or UNKNOWN_BUDGET
        first = min(n_of_one, self.n_first or -(-budget // n_blocks))
        return first, self.beam_size or max(1, -(-(budget - first) // max(1, n_blocks - 1)))

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return ProgressiveSearcher(space, goal, settings=self, **options)


class ProgressiveSearcher(ArchitectureSearcher):
    """The searcher of ``Progressive``; it learns from every evaluation, also of other searches.

    Raises:
        ValueError: if there are several objectives.
        SpaceError: if a decision is continuous.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: Progressive | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.settings = settings or Progressive()
        self.reward = PenalizedReward(self.goal, "Progressive")
        self.rewards: dict[Architecture, float] = {}
        refuse_continuous(space, "blocks of which cannot be listed for")
        self._seen: set[Architecture] = set()
        self._decisions = {decision.name: decision for decision in space.decisions}
        self._default = {name: decision.default for name, decision in self._decisions.items()}
        self._blocks = blocks_of(space)
        self._level = 0
        self._cells = self._extended([{}])
        """Cells of the current size: the options of the blocks that they have, by architecture."""
        first, self.beam_size = self.settings.sizes(len(self._blocks), len(self._cells))
        archs = list(self._cells)
        self._queue_of_size: list[Architecture] = [archs[i] for i in self.rng.permutation(len(archs))[:first]]

    def propose(self) -> Architecture | None:
        if not self._queue_of_size:
            if self.running:
                return None
            self._grow()
        if self._queue_of_size:
            return self._queue_of_size.pop()
        return mutate_until_new(self.space, self.sample(), self._seen, rng=self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        reward = self.reward(self.goal, evaluation)
        if reward is not None:
            self.rewards[evaluation.arch] = reward
        self._seen.add(evaluation.arch)

    def _grow(self) -> None:
        """Queue the most promising extensions of the best of this size, or else neighbours of the best of all."""
        new: list[Architecture] = []
        while not new and self._level + 1 < len(self._blocks):
            beam = self._best(self.rewards.keys() & self._cells.keys()) or list(self._cells)[: self.beam_size]
            parents = [self._cells[arch] for arch in beam]
            self._level += 1
            self._cells = self._extended(parents)
            new = [arch for arch in self._cells if arch not in self._seen]
        self._queue_of_size = self._promising(new or self._neighbours(self._best(self.rewards)))[::-1]

    def _extended(self, parents: Sequence[Mapping[str, Option]]) -> dict[Architecture, Mapping[str, Option]]:
        """Return the cells that are made of others by adding the block of this level."""
        block = self._blocks[self._level]
        decisions = [self._decisions[name] for name in block.names]
        most = max(1, MAX_EXTENSIONS // len(parents))
        found = [options for parent in parents for options in extensions(decisions, parent, most, self.rng)]
        return {self._completed(options, block): options for options in found}

    def _completed(self, options: Mapping[str, Option], block: Block) -> Architecture:
        """Return the architecture whose last block is a given one; options of later decisions do not matter."""
        i = self._blocks.index(block)
        own = {name: options[name] for b in self._blocks[: i + 1] for name in b.names if name in options}
        return self.space.canonical({**self._default, **block.rest, **own})

    def _best(self, archs: Iterable[Architecture]) -> list[Architecture]:
        # In the order in which they came, so that ties do not depend on the order of a set.
        known = set(archs)
        found = sorted((a for a in self.rewards if a in known), key=self.rewards.__getitem__, reverse=True)
        return found[: self.beam_size]

    def _neighbours(self, archs: Sequence[Architecture]) -> list[Architecture]:
        """Return the new architectures that differ in one decision, each once."""
        found = dict.fromkeys(near for arch in archs for near in self.space.neighbours(arch))
        return [arch for arch in found if arch not in self._seen]

    def _promising(self, candidates: Sequence[Architecture]) -> list[Architecture]:
        """Return the best by prediction, best first; random ones without observations."""
        order = self.rng.permutation(len(candidates))
        predicted = self.predict(candidates) if len(self.rewards) > 1 and candidates else np.zeros(len(candidates))
        best = sorted(order, key=lambda i: -round(float(predicted[i]), 6))
        return [candidates[i] for i in best[: self.beam_size]]

    def predict(self, archs: Sequence[Architecture]) -> NDArray[np.float64]:
        """Predict ranks by the ensemble, fitted to all evaluations so far."""
        known = self._inputs(list(self.rewards))
        centre, scale = known.mean(axis=0), known.std(axis=0)
        scale[scale == 0] = 1.0
        ensemble = FoldEnsemble((known - centre) / scale, ranks(list(self.rewards.values())), self.rng)
        return ensemble.predict((self._inputs(archs) - centre) / scale)

    def _inputs(self, archs: Sequence[Architecture]) -> NDArray[np.float64]:
        return np.stack([np.concatenate(list(self.space.features(arch).values())) for arch in archs])
