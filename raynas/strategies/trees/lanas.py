"""LaNAS: a learned tree of half-spaces separates good from bad architectures; UCT chooses the leaf to sample from.

Wang, Xie, Li, Fonseca and Tian, "Sample-Efficient Neural Architecture Search by Learning Actions for Monte Carlo Tree
Search" (TPAMI 2021, arXiv:1906.06832). Deviations: targets are ranks, so that a few very bad networks do not dominate
the regressions; a leaf is sampled by a random walk of mutations within it, from a member, where the paper rejects
uniform samples (which finds nothing in the small leaves of a large space).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy
from raynas.strategies.novelty import mutate_until_new
from raynas.strategies.penalized_reward import PenalizedReward, ranks

RIDGE = 1e-3
"""Ridge penalty per member, which keeps a regression solvable for collinear one-hot encodings."""


@dataclass(frozen=True, kw_only=True)
class LaNAS(Strategy):
    """Latent action search; one objective.

    Args:
        n_initial: random architectures before the first tree; at least 2. The paper has 200.
        n_per_tree: number of evaluations between two trees; at least 1. The paper has 50.
        height: the maximum height of the tree; at least 1. The paper has 8.
        min_members: nodes with fewer evaluated members are not split; at least 2.
        exploration: c, the weight of the confidence bound; at least 0. Values are in [0, 1].
        walk_length: the maximum number of mutations between a sample and the member it starts from; at least 1.
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
                raise SettingError(f"LaNAS needs {name} >= {at_least}, got {getattr(self, name)}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return LaNASSearcher(space, goal, settings=self, **options)


@dataclass(eq=False, slots=True)
class SplitNode:
    """A node of the tree: all architectures on one side of each split above it.

    Args:
        members: indices of the evaluations in it.
        value: mean rank of the members, in [0, 1].
        weights: of the regression that splits the node, ``(n_features + 1,)``, the last the constant; None for a leaf.
        threshold: architectures predicted above it belong to ``better``.
        better: the half predicted above the threshold.
        worse: the other half.
    """

    members: NDArray[np.int64]
    value: float
    weights: NDArray[np.float64] | None = None
    threshold: float = 0.0
    better: "SplitNode | None" = None
    worse: "SplitNode | None" = None


class LaNASSearcher(ArchitectureSearcher):
    """The searcher of ``LaNAS``; it learns from every evaluation, also of other searches.

    Raises:
        SettingError: if there are several objectives.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: LaNAS | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.settings = settings or LaNAS()
        self.reward = PenalizedReward(self.goal, "LaNAS")
        self.root: SplitNode | None = None
        self._archs: list[Architecture] = []
        self._encodings: list[NDArray[np.float64]] = []
        self._rewards: list[float] = []
        self._seen: set[Architecture] = set()
        self._n_at_tree = 0

    def propose(self) -> Architecture:
        if len(self._archs) < self.settings.n_initial:
            return self.sample()
        if self.root is None or len(self._archs) >= self._n_at_tree + self.settings.n_per_tree:
            self.root = learned_tree(np.stack(self._encodings), ranks(self._rewards), self.settings)
            self._n_at_tree = len(self._archs)
        sample = self._sampled(*self._chosen(self.root))
        return mutate_until_new(self.space, sample, self._seen, self.running, rng=self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        reward = self.reward(self.goal, evaluation)
        if reward is not None and evaluation.arch not in self._seen:
            self._archs.append(evaluation.arch)
            self._encodings.append(np.append(self.space.encode(evaluation.arch), 1.0))
            self._rewards.append(reward)
        self._seen.add(evaluation.arch)

    def _chosen(self, node: SplitNode) -> tuple[list[tuple[SplitNode, bool]], SplitNode]:
        """Descend from the root by UCB; return the nodes and sides taken, and the leaf."""
        path = []
        while node.better is not None and node.worse is not None:
            to_better = self._bound(node.better, node) >= self._bound(node.worse, node)
            path.append((node, to_better))
            node = node.better if to_better else node.worse
        return path, node

    def _bound(self, node: SplitNode, parent: SplitNode) -> float:
        n, n_parent = len(node.members), len(parent.members)
        return node.value + 2 * self.settings.exploration * math.sqrt(2 * math.log(n_parent) / n)

    def _sampled(self, path: Sequence[tuple[SplitNode, bool]], leaf: SplitNode) -> Architecture:
        """Take a random walk from a member of the leaf; steps that leave the leaf are not made."""
        arch = self._archs[int(self.rng.choice(leaf.members))]
        for _ in range(int(self.rng.integers(1, self.settings.walk_length + 1))):
            step = self.space.mutate(arch, self.rng)
            encoding = np.append(self.space.encode(step), 1.0)
            if all((encoding @ node.weights > node.threshold) == to_better for node, to_better in path):
                arch = step
        return arch


def learned_tree(encodings: NDArray[np.float64], targets: NDArray[np.float64], settings: LaNAS) -> SplitNode:
    """Split the evaluated architectures by the predictions of regressions.

    Args:
        encodings: ``(n, n_features + 1)``, the last column ones.
        targets: ``(n,)``, larger is better.
        settings: height of the tree, and members of a leaf.
    """

    def grown(members: NDArray[np.int64], depth: int) -> SplitNode:
        node = SplitNode(members, float(targets[members].mean()))
        if depth == settings.height or len(members) < settings.min_members:
            return node
        x, y = encodings[members], targets[members]
        weights = np.linalg.solve(x.T @ x + RIDGE * len(members) * np.eye(x.shape[1]), x.T @ y)
        predicted = x @ weights
        above = predicted > predicted.mean()
        if above.any() and not above.all() and np.ptp(predicted) > 1e-9:
            node.weights, node.threshold = weights, float(predicted.mean())
            node.better, node.worse = grown(members[above], depth + 1), grown(members[~above], depth + 1)
        return node

    return grown(np.arange(len(targets)), 0)
