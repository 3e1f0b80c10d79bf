"""Progressive search: from the simplest architecture to larger ones, which a predictor chooses.

Liu et al., "Progressive Neural Architecture Search" (ECCV 2018, arXiv:1712.00559), algorithm 1. The size of an
architecture, there its number of blocks, is here the number of decisions that do not hold their first option, so that
the algorithm works on any space; a space should list the simplest option first. Deviations: the predictor is a ridge
regression of ranks, which extrapolates to larger sizes from few evaluations, where the paper has an ensemble of
networks; and when nothing larger is left, the best are refined by single changes, where the paper ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, refuse_continuous
from raynas.strategies.novelty import mutate_until_new
from raynas.strategies.penalized_reward import PenalizedReward, ranks

RIDGE = 0.03
"""Ridge penalty of the regression."""


@dataclass(frozen=True, kw_only=True)
class Progressive(Strategy):
    """Beam search over the size of architectures; one objective, no continuous decisions.

    With several trials at a time it waits for the last of each size.

    Args:
        beam_size: K, the number of architectures per size; at least 1. The paper has 256.
        n_first: the maximum number of architectures of size 1, drawn at random; at least 1. The paper has all.
    """

    beam_size: int = 8
    n_first: int = 24

    def __post_init__(self) -> None:
        if self.beam_size < 1 or self.n_first < 1:
            raise SettingError(
                f"Progressive needs beam_size >= 1 and n_first >= 1, got {self.beam_size} and {self.n_first}"
            )

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return ProgressiveSearcher(space, goal, settings=self, **options)


class ProgressiveSearcher(ArchitectureSearcher):
    """The searcher of ``Progressive``; it learns from every evaluation, also of other searches.

    Raises:
        SettingError: if there are several objectives.
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
        refuse_continuous(space, "size cannot be counted over")
        self._defaults = {decision.name: decision.default for decision in space.decisions}
        self._seen: set[Architecture] = set()
        simplest = space.canonical(self._defaults)
        first = list(space.neighbours(simplest))
        # Sizes 0 and 1 at once: they need no predictor.
        self._level = 1
        self._tried: list[Architecture] = [first[i] for i in self.rng.permutation(len(first))[: self.settings.n_first]]
        self._queue_of_level: list[Architecture] = [*self._tried[::-1], simplest]

    def size(self, arch: Architecture) -> int:
        """Return the number of decisions that do not have their first option."""
        return sum(option != self._defaults[name] for name, option in arch.items())

    def propose(self) -> Architecture | None:
        if self._queue_of_level:
            return self._queue_of_level.pop()
        if self.running:
            return None
        self._grow()
        if self._queue_of_level:
            return self._queue_of_level.pop()
        return mutate_until_new(self.space, self.space.sample(self.rng), self._seen, rng=self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        reward = self.reward(self.goal, evaluation)
        if reward is not None:
            self.rewards[evaluation.arch] = reward
        self._seen.add(evaluation.arch)

    def _grow(self) -> None:
        """Queue the most promising extensions of the best of this size, or else neighbours of the best of all."""
        beam = self._best([arch for arch in self.rewards if self.size(arch) == self._level]) or self._tried
        larger = [arch for arch in self._neighbours(beam) if self.size(arch) == self._level + 1]
        self._level += bool(larger)
        candidates = larger or self._neighbours(self._best(list(self.rewards)))
        self._tried = self._promising(candidates)
        self._queue_of_level = self._tried[::-1]

    def _best(self, archs: Sequence[Architecture]) -> list[Architecture]:
        return sorted(archs, key=self.rewards.__getitem__, reverse=True)[: self.settings.beam_size]

    def _neighbours(self, archs: Sequence[Architecture]) -> list[Architecture]:
        """Return the new architectures that differ in one decision, each once."""
        found = dict.fromkeys(near for arch in archs for near in self.space.neighbours(arch))
        return [arch for arch in found if arch not in self._seen]

    def _promising(self, candidates: Sequence[Architecture]) -> list[Architecture]:
        """Return the best by prediction, best first; random ones without observations."""
        order = self.rng.permutation(len(candidates))
        predicted = self.predict(candidates) if len(self.rewards) > 1 else [0.0] * len(candidates)
        # Ties are broken at random, not by the last bits of a sum.
        best = sorted(order, key=lambda i: -round(predicted[i], 8))
        return [candidates[i] for i in best[: self.settings.beam_size]]

    def predict(self, archs: Sequence[Architecture]) -> Sequence[float]:
        """Predict ranks by ridge regression of all evaluations so far on their encodings."""
        if not archs:
            return []
        x = np.stack([self.space.encode(arch) for arch in self.rewards])
        y = ranks(list(self.rewards.values()))
        centre = x.mean(axis=0)
        weights = np.linalg.solve((x - centre).T @ (x - centre) + RIDGE * np.eye(x.shape[1]), (x - centre).T @ y)
        new = np.stack([self.space.encode(arch) for arch in archs])
        return [float(value) for value in (new - centre) @ weights + y.mean()]
