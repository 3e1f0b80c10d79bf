from typing import Any

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.strategies import LaNAS, RandomSearch
from raynas.strategies.trees.lanas import LaNASSearcher, SplitNode, learned_tree
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=4)


def made(**settings: Any) -> LaNASSearcher:
    return LaNASSearcher(SPACE, settings=LaNAS(**settings))


def taught(n: int = 60, **settings: Any) -> LaNASSearcher:
    """Knows some members and their accuracy; the tree is learned with the first proposal."""
    searcher = made(**settings)
    rng = np.random.default_rng(0)
    for _ in range(n):
        arch = SPACE.sample(rng)
        searcher.observe(Evaluation(arch, {"accuracy": SPACE.accuracy(arch)}))
    searcher.propose()
    return searcher


def leaves(node: SplitNode) -> list[SplitNode]:
    return [node] if node.better is None or node.worse is None else [*leaves(node.better), *leaves(node.worse)]


def encoded(arch: Architecture) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.append(SPACE.encode(arch), 1.0)


def test_golden_trajectory() -> None:
    strategy = LaNAS(n_initial=5, n_per_tree=2, min_members=3)
    configs = run_trials(strategy.searcher(SPACE, costs={}, seed=0), SPACE.result, 12)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "3 2 2 1 linear",
        "0 0 0 0",
        "3 2 3 2 cosine",
        "3 2 2 2 cosine",
        "3 1 3 2 linear",
        "3 2 0 2 cosine",
        "3 1 0 2 cosine",
        "3 2 3 1 cosine",
        "3 2 2 2 linear",
        "3 2 3 3 cosine",
        "3 2 3 2 linear",
        "2 2 3 3",
    ]


def test_starts_at_random() -> None:
    lanas, random = (s.searcher(SPACE, costs={}, seed=5) for s in (LaNAS(n_initial=10), RandomSearch()))
    assert run_trials(lanas, SPACE.result, 10) == run_trials(random, SPACE.result, 10)
    assert run_trials(lanas, SPACE.result, 12) != run_trials(random, SPACE.result, 12)


def test_each_split_parts_good_from_bad() -> None:
    """The members of the better half are better in the mean, and on their side of the half-space."""
    searcher = taught()
    assert searcher.root is not None and searcher.root.better is not None and searcher.root.worse is not None
    assert searcher.root.better.value > searcher.root.value > searcher.root.worse.value
    assert searcher.root.weights is not None
    for half, is_better in ((searcher.root.better, True), (searcher.root.worse, False)):
        for i in half.members:
            assert (encoded(searcher._archs[i]) @ searcher.root.weights > searcher.root.threshold) == is_better
    nodes = leaves(searcher.root)
    assert sorted(np.concatenate([node.members for node in nodes])) == list(range(len(searcher._archs)))
    # On a sum of decisions the first regression is nearly exact, so that the best leaf comes first.
    assert nodes[0].value == max(node.value for node in nodes) > 0.8


def test_height_and_members_bound_the_tree() -> None:
    assert len(leaves(taught(height=1).root or SplitNode(np.array([0]), 0))) == 2
    assert 4 < len(leaves(taught(height=3).root or SplitNode(np.array([0]), 0))) <= 8
    searcher = taught(height=20, min_members=10)
    assert searcher.root is not None

    def parents(node: SplitNode) -> list[SplitNode]:
        return [node, *parents(node.better), *parents(node.worse)] if node.better and node.worse else []

    assert min(len(node.members) for node in parents(searcher.root)) >= 10


def test_equal_targets_are_not_split() -> None:
    tree = learned_tree(np.hstack([np.eye(8), np.ones((8, 1))]), np.full(8, 0.5), LaNAS())
    assert tree.better is None and tree.weights is None


def test_ucb_chooses_the_leaf() -> None:
    """By hand: c = 0 takes the better half; a large c the one with fewer members."""
    root = SplitNode(np.arange(10), 0.5, np.zeros(1), 0.0)
    root.better, root.worse = SplitNode(np.arange(8), 0.6), SplitNode(np.arange(8, 10), 0.1)
    assert made(exploration=0.0)._chosen(root) == ([(root, True)], root.better)
    assert made(exploration=1.0)._chosen(root) == ([(root, False)], root.worse)
    # 0.6 + 2c sqrt(2 ln 10 / 8) = 0.1 + 2c sqrt(2 ln 10 / 2) at c = 0.5 / (2 (1.517 - 0.759)) = 0.33
    assert made(exploration=0.32)._chosen(root)[1] is root.better
    assert made(exploration=0.34)._chosen(root)[1] is root.worse


def test_samples_stay_in_their_part() -> None:
    searcher = taught(walk_length=6)
    assert searcher.root is not None
    path, leaf = searcher._chosen(searcher.root)
    assert path and all(to_better for _, to_better in path)
    samples = [searcher._sampled(path, leaf) for _ in range(200)]
    for node, is_better in path:
        assert node.weights is not None
        for sample in samples:
            assert (encoded(sample) @ node.weights > node.threshold) == is_better
    assert len(set(samples) - set(searcher._archs)) > 5


def test_the_tree_is_learned_anew_after_as_many_evaluations_as_asked() -> None:
    searcher = made(n_initial=6, n_per_tree=3)
    trees = []
    for n in range(1, 14):
        run_trials(searcher, SPACE.result, n)
        trees.append(searcher.root)
    # Trees are learned with the first proposals after 6, 9 and 12 evaluations.
    assert [i + 1 for i in range(1, 13) if trees[i] is not trees[i - 1]] == [7, 10, 13]


def test_failures_count_as_the_worst() -> None:
    searcher = made()
    archs = list(SPACE.enumerate())
    searcher.observe(Evaluation(archs[0], {}, status="failed"))
    searcher.observe(Evaluation(archs[1], {"accuracy": 0.2}))
    searcher.observe(Evaluation(archs[2], {"accuracy": 0.9}, status="failed"))
    assert searcher._rewards == [0.2, 0.2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_initial", 1), ("n_per_tree", 0), ("height", 0), ("min_members", 1), ("exploration", -1), ("walk_length", 0)],
)
def test_settings_are_checked(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"LaNAS needs {name} >= .*, got {value}"):
        LaNAS(**{name: value})  # type: ignore[arg-type]


def test_several_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="LaNAS learns from one objective"):
        LaNAS().searcher(SPACE, ["accuracy", "params"], costs={})
