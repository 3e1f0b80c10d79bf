"""Monte-Carlo tree search: UCT over the decisions, one after another, with random rollouts.

Kocsis and Szepesvári, "Bandit Based Monte-Carlo Planning" (ECML 2006), on architectures as in Wang et al., "Neural
Architecture Search using Deep Neural Networks and Monte Carlo Tree Search" (AAAI 2020, arXiv:1805.07440), without that
paper's predictor. Deviation: the value of an evaluation is the share of all evaluations that it beats, so that one
exploration constant suits every objective, and a few very bad networks do not make all others look alike.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError, UnknownNameError
from raynas.strategies.base import Strategy
from raynas.strategies.reward import Reward


@dataclass(frozen=True, kw_only=True)
class MCTS(Strategy):
    """Upper confidence bounds applied to trees; one objective, no continuous decisions.

    Args:
        exploration: c, how strongly rarely tried options are preferred; at least 0. Values are in [0, 1].
        order: names of decisions to take first, in this order; the others follow in the order of the space. What
            matters most should come first; a decision must come after those it depends on.
    """

    exploration: float = 0.3
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.exploration >= 0:
            raise ValueError(f"MCTS needs exploration >= 0, got {self.exploration}")
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"MCTS needs different names in order, got {self.order}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return MCTSSearcher(space, goal, settings=self, **common)


@dataclass(eq=False, slots=True)
class Node:
    """What is known of all architectures that begin with the same options.

    Args:
        n_options: how many children it can have; 0 for a whole architecture.
        n: how many evaluations went through it.
        total: sum of their values, in [0, n].
        n_pending: how many proposals through it have not come back.
        closed: whether all architectures below were proposed.
    """

    n_options: int
    children: "dict[Option, Node]" = field(default_factory=dict)
    n: int = 0
    total: float = 0.0
    n_pending: int = 0
    closed: bool = False

    def bound(self, exploration: float, n_parent: int) -> float:
        """Mean value and the confidence bound of UCB1; what is pending counts as visited and worthless."""
        n = self.n + self.n_pending
        return self.total / n + exploration * math.sqrt(2 * math.log(max(n_parent, 1)) / n) if n else math.inf


class MCTSSearcher(ArchitectureSearcher):
    """The searcher of ``MCTS``.

    Every evaluation counts along its path, whoever asked for it.

    Raises:
        ValueError: if there are several objectives, or ``order`` names no decision of the space.
        SpaceError: if a decision is continuous, or comes before one that it depends on.
    """

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: MCTS | None = None, **common: Any
    ) -> None:
        super().__init__(space, goal, **common)
        self.settings = settings or MCTS()
        self.reward = Reward(self.goal, "MCTS")
        self.order = ordered(space, self.settings.order)
        self.root = Node(len(self.order[0].options))
        self._pending: dict[Architecture, list[Node]] = {}
        self._history: list[tuple[list[Node], float]] = []
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

    def _selected(self) -> tuple[list[Node], dict[str, Option]]:
        """From the root to the first node that is new: UCB where all options were tried, a random one otherwise."""
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

    def _best(self, node: Node) -> Option:
        n_parent, c = node.n + node.n_pending, self.settings.exploration
        # Where all was proposed, constraints refused the rest of the space or trials are running.
        options = [o for o, child in node.children.items() if not child.closed] or list(node.children)
        return max(options, key=lambda option: node.children[option].bound(c, n_parent))

    def _path(self, arch: Architecture) -> list[Node]:
        """The nodes that an architecture passes, one of them new if it has not come as far before."""
        path, options = [self.root], dict[str, Option]()
        while (decision := self._following(options)) is not None:
            option = options[decision.name] = arch[decision.name]
            known = option in path[-1].children
            path.append(path[-1].children[option] if known else self._grown(path[-1], option, options))
            if not known:
                break
        _close(path)
        return path

    def _grown(self, node: Node, option: Option, options: Mapping[str, Option]) -> Node:
        following = self._following(options)
        node.children[option] = Node(len(following.options) if following else 0)
        return node.children[option]

    def _following(self, options: Mapping[str, Option]) -> Decision | None:
        """The first active decision that was not taken."""
        for decision in self.order:
            if decision.name not in options and decision.is_active(options):
                return decision
        return None

    def _count(self, path: list[Node], reward: float) -> None:
        insort(self._sorted, reward)
        self._history.append((path, reward))
        if len(self._history) & (len(self._history) - 1):
            self._add(path, reward)
        else:  # Each doubling: what was good among few may be usual among many.
            self._recount()

    def _recount(self) -> None:
        for path, _ in self._history:
            for node in path:
                node.n, node.total = 0, 0.0
        for path, reward in self._history:
            self._add(path, reward)

    def _add(self, path: list[Node], reward: float) -> None:
        value = (bisect_left(self._sorted, reward) + bisect_right(self._sorted, reward)) / (2 * len(self._sorted))
        for node in path:
            node.n += 1
            node.total += value


def _close(path: list[Node]) -> None:
    """Mark what holds nothing new, from the end of a path upwards."""
    for node in reversed(path):
        if len(node.children) < node.n_options or not all(child.closed for child in node.children.values()):
            break
        node.closed = True


def ordered(space: SearchSpace, first: Sequence[str] = ()) -> tuple[Decision, ...]:
    """The decisions of a space, some of them first.

    Args:
        space: whose decisions.
        first: names of those to come first.

    Raises:
        UnknownNameError: if a name is no decision's.
        SpaceError: if a decision is continuous, or would come before one that it depends on.
    """
    known = {decision.name: decision for decision in space.decisions}
    for name in first:
        if name not in known:
            raise UnknownNameError("decision", name, known)
    order = [*first, *(name for name in known if name not in first)]
    for i, name in enumerate(order):
        if not known[name].options:
            raise SpaceError(f"a tree cannot branch on continuous decisions such as {name!r}")
        if late := known[name].active_if.keys() - set(order[:i]):
            raise SpaceError(f"decision {name!r} depends on {min(late)!r}, which must come before it in the order")
    return tuple(known[name] for name in order)
