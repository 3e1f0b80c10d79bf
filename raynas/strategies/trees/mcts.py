"""Monte-Carlo tree search: UCT over the decisions, one after another, with random rollouts.

Kocsis and Szepesvári, "Bandit Based Monte-Carlo Planning" (ECML 2006), on architectures as in Wang et al., "Neural
Architecture Search using Deep Neural Networks and Monte Carlo Tree Search" (AAAI 2020, arXiv:1805.07440), without that
paper's predictor. Deviation: the value of an evaluation is the share of all evaluations that it exceeds, so that one
exploration constant fits every objective, and a few very bad networks do not make all others look alike.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import Unpack

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, SpaceError, UnknownNameError
from raynas.strategies.base import Strategy, refuse_continuous
from raynas.strategies.penalized_reward import PenalizedReward


@dataclass(frozen=True, kw_only=True)
class MCTS(Strategy):
    """Upper confidence bounds applied to trees; one objective, no continuous decisions.

    Args:
        exploration: c, the weight of the confidence bound; at least 0. Values are in [0, 1].
        order: names of decisions to take first, in this order; the others follow in the order of the space. The most
            important should be first; a decision must follow those it depends on.
    """

    exploration: float = 0.3
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.exploration >= 0:
            raise SettingError(f"MCTS needs exploration >= 0, got {self.exploration}")
        if len(set(self.order)) != len(self.order):
            raise SettingError(f"MCTS needs different names in order, got {self.order}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return MCTSSearcher(space, goal, settings=self, **options)


@dataclass(eq=False, slots=True)
class TreeNode:
    """Statistics of all architectures that begin with the same options.

    Args:
        n_options: the maximum number of children; 0 for a complete architecture.
        n: number of evaluations below the node.
        total: sum of their values, in [0, n].
        n_pending: number of proposals below the node that are not evaluated.
        closed: True if all architectures below were proposed.
    """

    n_options: int
    children: "dict[Option, TreeNode]" = field(default_factory=dict)
    n: int = 0
    total: float = 0.0
    n_pending: int = 0
    closed: bool = False

    def bound(self, exploration: float, n_parent: int) -> float:
        """Return the upper confidence bound of UCB1; pending proposals count as evaluations of value 0."""
        n = self.n + self.n_pending
        return self.total / n + exploration * math.sqrt(2 * math.log(max(n_parent, 1)) / n) if n else math.inf


class MCTSSearcher(ArchitectureSearcher):
    """The searcher of ``MCTS``.

    Every evaluation counts along its path, also of other searches.

    Raises:
        SettingError: if there are several objectives, or ``order`` names no decision of the space.
        SpaceError: if a decision is continuous, or precedes one that it depends on.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: MCTS | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.settings = settings or MCTS()
        self.reward = PenalizedReward(self.goal, "MCTS")
        self.order = ordered(space, self.settings.order)
        self.root = TreeNode(len(self.order[0].options))
        self._pending: dict[Architecture, list[TreeNode]] = {}
        self._history: list[tuple[list[TreeNode], float]] = []
        self._sorted: list[float] = []

    def propose(self) -> Architecture:
        path, options = self._selected()
        while (decision := self._following(options)) is not None:
            options[decision.name] = decision.sample(self.rng)
        arch = self.space.canonical(options)
        if arch not in self._pending:
            self._pending[arch] = path
            for node in path:
                node.n_pending += 1
        _close(path)
        return arch

    def observe(self, evaluation: Evaluation) -> None:
        path = self._pending.pop(evaluation.arch, None)
        if path is None:
            path = self._path(evaluation.arch)
        else:
            for node in path:
                node.n_pending -= 1
        reward = self.reward(self.goal, evaluation)
        self._count(path, -math.inf if reward is None else reward)

    def _selected(self) -> tuple[list[TreeNode], dict[str, Option]]:
        """Descend from the root to a new node: by UCB if all options were tried, else by a random new option."""
        path, options = [self.root], dict[str, Option]()
        while (decision := self._following(options)) is not None:
            node = path[-1]
            untried = [option for option in decision.options if option not in node.children]
            if untried:
                option = untried[int(self.rng.integers(len(untried)))]
                options[decision.name] = option
                path.append(self._grown(node, option, options))
                break
            option = self._best(node)
            options[decision.name] = option
            path.append(node.children[option])
        return path, options

    def _best(self, node: TreeNode) -> Option:
        n_parent, c = node.n + node.n_pending, self.settings.exploration
        # If everything was proposed, constraints refused the rest of the space or trials are running.
        options = [o for o, child in node.children.items() if not child.closed] or list(node.children)
        return max(options, key=lambda option: node.children[option].bound(c, n_parent))

    def _path(self, arch: Architecture) -> list[TreeNode]:
        """Return the nodes on the path of an architecture; add one if the path leaves the tree."""
        path, options = [self.root], dict[str, Option]()
        while (decision := self._following(options)) is not None:
            option = options[decision.name] = arch[decision.name]
            known = option in path[-1].children
            path.append(path[-1].children[option] if known else self._grown(path[-1], option, options))
            if not known:
                break
        _close(path)
        return path

    def _grown(self, node: TreeNode, option: Option, options: Mapping[str, Option]) -> TreeNode:
        following = self._following(options)
        node.children[option] = TreeNode(len(following.options) if following else 0)
        return node.children[option]

    def _following(self, options: Mapping[str, Option]) -> Decision | None:
        """Return the first active decision without an option."""
        for decision in self.order:
            if decision.name not in options and decision.is_active(options):
                return decision
        return None

    def _count(self, path: list[TreeNode], reward: float) -> None:
        insort(self._sorted, reward)
        self._history.append((path, reward))
        if len(self._history) & (len(self._history) - 1):
            self._add(path, reward)
        else:  # At each doubling, as values are relative to all evaluations.
            self._recount()

    def _recount(self) -> None:
        for path, _ in self._history:
            for node in path:
                node.n, node.total = 0, 0.0
        for path, reward in self._history:
            self._add(path, reward)

    def _add(self, path: list[TreeNode], reward: float) -> None:
        value = (bisect_left(self._sorted, reward) + bisect_right(self._sorted, reward)) / (2 * len(self._sorted))
        for node in path:
            node.n += 1
            node.total += value


def _close(path: list[TreeNode]) -> None:
    """Mark the nodes below which everything was proposed, from the end of a path upwards."""
    for node in reversed(path):
        if len(node.children) < node.n_options or not all(child.closed for child in node.children.values()):
            break
        node.closed = True


def ordered(space: SearchSpace, first: Sequence[str] = ()) -> tuple[Decision, ...]:
    """Return the decisions of a space, some of them first.

    Args:
        space: gives the decisions.
        first: names of the first decisions.

    Raises:
        UnknownNameError: if the space has no decision of a name.
        SpaceError: if a decision is continuous, or would precede one that it depends on.
    """
    known = {decision.name: decision for decision in space.decisions}
    for name in first:
        if name not in known:
            raise UnknownNameError("decision", name, known)
    refuse_continuous(space, "a tree cannot branch on")
    order = [*first, *(name for name in known if name not in first)]
    for i, name in enumerate(order):
        if late := known[name].active_if.keys() - set(order[:i]):
            raise SpaceError(f"decision {name!r} depends on {min(late)!r}, which must come before it in the order")
    return tuple(known[name] for name in order)
