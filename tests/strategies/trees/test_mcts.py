import math
from collections import Counter
from typing import Any

import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.errors import SpaceError, UnknownNameError
from raynas.strategies import MCTS
from raynas.strategies.trees.mcts import MCTSSearcher, TreeNode
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=3)


def made(space: ToySpace = SPACE, **settings: Any) -> MCTSSearcher:
    return MCTSSearcher(space, settings=MCTS(**settings))


def arch(digits: str) -> Architecture:
    return Architecture({f"layers.{i}": int(digit) for i, digit in enumerate(digits)})


def counts(node: TreeNode) -> dict[Any, int]:
    return {option: child.n for option, child in node.children.items()}


def all_nodes(node: TreeNode) -> list[TreeNode]:
    return [node, *(below for child in node.children.values() for below in all_nodes(child))]


def test_golden_trajectory() -> None:
    configs = run_trials(MCTS().searcher(SPACE, costs={}, seed=0), SPACE.result, 14)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "2 1 1 linear",
        "0 0 0",
        "1 0 0",
        "2 2 1 cosine",
        "2 1 1 cosine",
        "2 0 2 cosine",
        "2 2 2 linear",
        "2 2 0 cosine",
        "2 1 2 linear",
        "1 1 2",
        "2 0 1 linear",
        "2 2 2 cosine",
        "2 2 1 linear",
        "2 1 0 linear",
    ]


def test_the_bound_is_ucb1() -> None:
    """Auer et al. (2002): mean + c * sqrt(2 ln n / n_j), with c = 1."""
    assert TreeNode(3, n=4, total=2.0).bound(1.0, 10) == pytest.approx(0.5 + math.sqrt(2 * math.log(10) / 4))
    assert TreeNode(3).bound(1.0, 10) == math.inf
    assert TreeNode(3, n=4, total=2.0, n_pending=4).bound(0.0, 10) == 0.25


def test_every_option_is_tried_before_one_is_tried_again() -> None:
    searcher = made()
    for n in range(3):
        run_trials(searcher, SPACE.result, n + 1)
    assert counts(searcher.root) == {0: 1, 1: 1, 2: 1}


def test_one_node_grows_with_each_proposal() -> None:
    searcher = made(ToySpace(n_layers=6, n_options=4))
    for n in range(1, 40):
        searcher.observe(Evaluation(searcher.propose(), {"accuracy": 0.1 * (n % 7)}))
        assert len(all_nodes(searcher.root)) == 1 + n
        assert searcher.root.n == n


def test_visits_of_a_node_are_those_of_its_children_and_of_itself() -> None:
    searcher = made(ToySpace(n_layers=6, n_options=4))
    run_trials(searcher, ToySpace(n_layers=6, n_options=4).result, 60)
    for node in all_nodes(searcher.root):
        below = sum(child.n for child in node.children.values())
        if node.n_options:  # the evaluation with which a node grew stopped at it
            assert node.n - below == (node is not searcher.root)
        assert 0 <= node.total <= node.n and node.n_pending == 0


def test_values_are_the_share_of_evaluations_that_are_beaten() -> None:
    """Whatever the unit; recounted when the evaluations have doubled."""
    searcher = made()
    rewards = {"000": 1e6, "100": -3.0, "200": 0.5, "001": 1e6}
    for digits, reward in rewards.items():
        searcher.observe(Evaluation(arch(digits), {"accuracy": reward}))
    totals = {option: child.total for option, child in searcher.root.children.items()}
    assert totals == pytest.approx({0: 2 * (2 + 4) / 8, 1: (0 + 1) / 8, 2: (1 + 2) / 8})


def test_the_better_branch_is_visited_more_the_less_it_explores() -> None:
    share = []
    space = ToySpace(n_layers=8, n_options=4)  # large enough that no branch is used up
    for exploration in (2.0, 0.3, 0.02):
        searcher = made(space, exploration=exploration)
        for _ in range(150):
            proposal = searcher.propose()
            searcher.observe(Evaluation(proposal, {"accuracy": float(proposal["layers.0"] == 2)}))
        share.append(counts(searcher.root)[2] / 150)
    assert 0.25 < share[0] < 0.5 < share[1] < share[2]


def test_what_is_pending_is_avoided() -> None:
    """Several proposals at a time spread over the tree, and are forgotten when they come back."""
    searcher = made()
    first = [searcher.propose() for _ in range(3)]
    assert Counter(p["layers.0"] for p in first) == {0: 1, 1: 1, 2: 1}
    for proposal in first:
        searcher.observe(Evaluation(proposal, {"accuracy": 0.5}))
    again = [searcher.propose() for _ in range(3)]
    assert Counter(p["layers.0"] for p in again) == {0: 1, 1: 1, 2: 1}
    for proposal in again:
        searcher.observe(Evaluation(proposal, {"accuracy": 0.5}))
    assert all(node.n_pending == 0 for node in all_nodes(searcher.root))


def test_evaluations_that_were_not_asked_for_count_too() -> None:
    searcher = made(exploration=0.0)
    for digits in ("000", "010", "100", "200"):
        searcher.observe(Evaluation(arch(digits), {"accuracy": float(digits.startswith("1"))}))
    assert counts(searcher.root) == {0: 2, 1: 1, 2: 1}
    assert searcher.propose()["layers.0"] == 1


def test_failures_are_worth_nothing() -> None:
    searcher = made(exploration=0.0)
    searcher.observe(Evaluation(arch("000"), {}, status="failed"))
    searcher.observe(Evaluation(arch("100"), {"accuracy": 0.1}))
    searcher.observe(Evaluation(arch("200"), {"accuracy": 0.0}))
    searcher.observe(Evaluation(arch("010"), {"accuracy": 9.0}, status="failed"))
    assert searcher.root.children[0].total / 2 < searcher.root.children[1].total
    assert searcher.propose()["layers.0"] == 1


def test_the_tree_branches_in_the_given_order() -> None:
    searcher = made(order=("layers.2", "layers.0"))
    assert [decision.name for decision in searcher.order] == ["layers.2", "layers.0", "layers.1", "head"]
    for digits in ("010", "011", "012", "022"):
        searcher.observe(Evaluation(arch(digits), {"accuracy": 0.5}))
    assert counts(searcher.root) == {0: 1, 1: 1, 2: 2}


def test_what_was_proposed_completely_is_left() -> None:
    space = ToySpace(n_layers=2, n_options=2)
    searcher = made(space)
    proposals = []
    while not searcher.root.closed:
        proposals.append(searcher.propose())
        searcher.observe(Evaluation(proposals[-1], {"accuracy": 0.5}))
        assert len(proposals) < 100
    assert set(proposals) == set(space.enumerate())
    assert isinstance(searcher.propose(), Architecture)


def test_refusals() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown decision 'layer.0'; did you mean 'layers.0'"):
        made(order=("layer.0",))
    with pytest.raises(SpaceError, match=r"'head' depends on 'layers.0', which must come before it"):
        made(order=("head", "layers.0"))
    with pytest.raises(SpaceError, match="continuous decisions such as 'lr'"):
        MCTS().searcher(SPACE, hyperparameters={"lr": tune.uniform(0, 1)}, costs={})
    with pytest.raises(ValueError, match="MCTS learns from one objective"):
        MCTS().searcher(SPACE, ["accuracy", "params"], costs={})
    with pytest.raises(ValueError, match="exploration >= 0, got -1"):
        MCTS(exploration=-1)
    with pytest.raises(ValueError, match="different names"):
        MCTS(order=("a", "a"))
