"""LaNAS: a learned tree of half-spaces parts good from bad architectures; UCT chooses the part to sample from.

Wang, Xie, Li, Fonseca and Tian, "Sample-Efficient Neural Architecture Search by Learning Actions for Monte Carlo Tree
Search" (TPAMI 2021, arXiv:1906.06832). Deviations: targets are ranks, so that a few very bad networks do not bend the
regressions; a part is sampled by a random walk of mutations that stays in it, started at a member, where the paper
rejects uniform samples (which finds nothing in the small parts of a large space).
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy
from raynas.strategies.fresh import new_near
from raynas.strategies.reward import Reward

RIDGE = 1e-3
"""What keeps a regression solvable where the one-hot encodings are collinear, relative to the number of members."""


@dataclass(frozen=True, kw_only=True)
class LaNAS(Strategy):
    """Latent action search; one objective.

    Args:
        n_initial: random architectures before the first tree; at least 2. The paper has 200.
        n_per_tree: how many evaluations until the tree is learned anew; at least 1. The paper has 50.
        height: how often the space is split, at most; at least 1. The paper has 8.
        min_members: parts with fewer evaluated members are not split; at least 2.
        exploration: c, how strongly parts with few members are preferred; at least 0. Values are in [0, 1].
        walk_length: how many mutations a sample is away from the member it starts at, at most; at least 1.
    """

    n_initial: int = 20
    n_per_tree: int = 5
    height: int = 5
    min_members: int = 6
    exploration: float = 0.1
    walk_length: int = 4

    def __post_init__(self) -> None:
        low = {"n_initial": 2, "n_per_tree": 1, "height": 1, "min_members": 2, "exploration": 0, "walk_length": 1}
        for name, at_least in low.items():
            if not getattr(self, name) >= at_least:
                raise ValueError(f"LaNAS needs {name} >= {at_least}, got {getattr(self, name)}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return LaNASSearcher(space, goal, settings=self, **common)


@dataclass(eq=False, slots=True)
class Part:
    """A part of the space: all architectures on one side of each half-space above it.

    Args:
        members: indices of the evaluations in it.
        value: mean rank of the members, in [0, 1].
        weights: of the regression that splits it, ``(n_features + 1,)``, the last for the constant; None for a leaf.
        threshold: what is predicted above it goes to the better half.
        better: the half predicted above the threshold.
        worse: the other half.
    """

    members: NDArray[np.int64]
    value: float
    weights: NDArray[np.float64] | None = None
    threshold: float = 0.0
    better: "Part | None" = None
    worse: "Part | None" = None


class LaNASSearcher(ArchitectureSearcher):
    """The searcher of ``LaNAS``; it learns from every evaluation, whoever asked for it.

    Raises:
        ValueError: if there are several objectives.
    """

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: LaNAS | None = None, **common: Any
    ) -> None:
        super().__init__(space, goal, **common)
        self.settings = settings or LaNAS()
        self.reward = Reward(self.goal, "LaNAS")
        self.root: Part | None = None
        self._archs: list[Architecture] = []
        self._encodings: list[NDArray[np.float64]] = []
        self._rewards: list[float] = []
        self._seen: set[Architecture] = set()
        self._n_at_tree = 0

    def propose(self) -> Architecture:
        if len(self._archs) < self.settings.n_initial:
            return self.space.sample(self.rng)
        if self.root is None or len(self._archs) >= self._n_at_tree + self.settings.n_per_tree:
            self.root = learned_tree(np.stack(self._encodings), ranks(self._rewards), self.settings)
            self._n_at_tree = len(self._archs)
        sample = self._sampled(*self._chosen(self.root))
        return new_near(self.space, sample, self._seen, self.running, rng=self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        reward = self.reward(self.goal, evaluation)
        if reward is not None and evaluation.arch not in self._seen:
            self._archs.append(evaluation.arch)
            self._encodings.append(np.append(self.space.encode(evaluation.arch), 1.0))
            self._rewards.append(reward)
        self._seen.add(evaluation.arch)

    def _chosen(self, part: Part) -> tuple[list[tuple[Part, bool]], Part]:
        """From the root to a leaf by UCB: on which side of each split, and the leaf."""
        path = []
        while part.better is not None and part.worse is not None:
            to_better = self._bound(part.better, part) >= self._bound(part.worse, part)
            path.append((part, to_better))
            part = part.better if to_better else part.worse
        return path, part

    def _bound(self, part: Part, parent: Part) -> float:
        n, n_parent = len(part.members), len(parent.members)
        return part.value + 2 * self.settings.exploration * math.sqrt(2 * math.log(n_parent) / n)

    def _sampled(self, path: Sequence[tuple[Part, bool]], leaf: Part) -> Architecture:
        """A random walk from a member of the leaf, each step within the leaf."""
        arch = self._archs[int(self.rng.choice(leaf.members))]
        for _ in range(int(self.rng.integers(1, self.settings.walk_length + 1))):
            step = self.space.mutate(arch, self.rng)
            encoding = np.append(self.space.encode(step), 1.0)
            if all((encoding @ part.weights > part.threshold) == to_better for part, to_better in path):
                arch = step
        return arch


def ranks(rewards: Sequence[float]) -> NDArray[np.float64]:
    """The share of all rewards that each beats, in [0, 1)."""
    in_order = sorted(rewards)
    return np.array([bisect_left(in_order, reward) for reward in rewards]) / len(rewards)


def learned_tree(encodings: NDArray[np.float64], targets: NDArray[np.float64], settings: LaNAS) -> Part:
    """Split the evaluated architectures by what regressions predict of them.

    Args:
        encodings: ``(n, n_features + 1)``, the last column ones.
        targets: ``(n,)``, larger is better.
        settings: how deep.
    """

    def grown(members: NDArray[np.int64], depth: int) -> Part:
        part = Part(members, float(targets[members].mean()))
        if depth == settings.height or len(members) < settings.min_members:
            return part
        x, y = encodings[members], targets[members]
        weights = np.linalg.solve(x.T @ x + RIDGE * len(members) * np.eye(x.shape[1]), x.T @ y)
        predicted = x @ weights
        above = predicted > predicted.mean()
        if above.any() and not above.all() and np.ptp(predicted) > 1e-9:
            part.weights, part.threshold = weights, float(predicted.mean())
            part.better, part.worse = grown(members[above], depth + 1), grown(members[~above], depth + 1)
        return part

    return grown(np.arange(len(targets)), 0)
