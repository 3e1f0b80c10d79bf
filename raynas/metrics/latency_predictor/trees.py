"""Gradient boosted trees over all features of a network (Friedman, "Stochastic Gradient Boosting", 2002).

scikit-learn's trees, fitted to logarithms by Huber's loss, as arrays of nodes: a file of theirs needs no pickle.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.model import MIN_MS, DeviceModel, Tensors, take

Array = NDArray[np.float64]

N_TREES, DEPTH, RATE = 400, 5, 0.06
_SHARE, _FEATURES = 0.7, 0.3
"""Shares of the networks that each tree sees, and of the features that each split is chosen from."""
_CHUNK = 256
"""Number of networks predicted at once, which bounds the memory."""


class TreesModel(DeviceModel):
    """A sum of trees.

    Args:
        nodes: of each tree, ``(n_trees, n_nodes, 5)``: feature, threshold, node to the left (feature at most the
            threshold), node to the right, value; a leaf is its own child, so each walk may take the same steps.
        base: logarithm of the latency that the values are added to.
        n_features: number of features of a network.
    """

    def __init__(self, nodes: Array, base: float, n_features: int) -> None:
        self.nodes, self.base, self.n_features = nodes, base, n_features

    @classmethod
    def fit(cls, networks: Described, ms: Array, rng: np.random.Generator) -> "TreesModel":
        from sklearn.ensemble import GradientBoostingRegressor  # takes .4 s, which few need

        x, base = networks.matrix.astype(np.float32), float(np.log(ms).mean())
        model = GradientBoostingRegressor(
            loss="huber",
            init="zero",
            n_estimators=N_TREES,
            max_depth=DEPTH,
            learning_rate=RATE,
            subsample=_SHARE,
            max_features=_FEATURES,
            random_state=int(rng.integers(2**31)),
        ).fit(x, np.log(ms) - base)
        trees = [tree.tree_ for tree in model.estimators_[:, 0]]
        nodes = np.zeros((len(trees), max(tree.node_count for tree in trees), 5))
        for row, tree in zip(nodes, trees, strict=True):
            own, is_leaf = np.arange(tree.node_count), tree.children_left < 0
            row[: tree.node_count, 0] = np.where(is_leaf, 0, tree.feature)
            row[: tree.node_count, 1] = np.where(is_leaf, 0, tree.threshold)
            row[: tree.node_count, 2] = np.where(is_leaf, own, tree.children_left)
            row[: tree.node_count, 3] = np.where(is_leaf, own, tree.children_right)
            row[: tree.node_count, 4] = np.where(is_leaf, RATE * tree.value[:, 0, 0], 0)
        return cls(nodes, base, x.shape[1])

    def predict(self, networks: Described) -> Array:
        x = networks.matrix.astype(np.float32)
        found = [self._values(x[i : i + _CHUNK]) for i in range(0, len(x), _CHUNK)]
        return np.maximum(np.exp(np.concatenate(found) + self.base), MIN_MS)

    def _values(self, x: NDArray[np.float32]) -> Array:
        """Return the sum over trees, ``(n,)``, for features ``(n, n_features)``."""
        rows, trees = np.arange(len(x))[:, None], np.arange(len(self.nodes))
        at = np.zeros((len(x), len(trees)), dtype=np.int64)
        for _ in range(DEPTH):
            node = self.nodes[trees, at]
            goes_left = x[rows, node[..., 0].astype(np.int64)] <= node[..., 1]
            at = np.where(goes_left, node[..., 2], node[..., 3]).astype(np.int64)
        return np.asarray(self.nodes[trees, at, 4].sum(axis=1))

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        return {"nodes": self.nodes, "base": np.array([self.base]), "n_features": np.array([float(self.n_features)])}

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "TreesModel":
        nodes, base = take(tensors, "nodes", (None, None, 5)), float(take(tensors, "base", (1,))[0])
        n_features = int(take(tensors, "n_features", (1,))[0])
        limits = np.array([n_features, nodes.shape[1], nodes.shape[1]])
        links = nodes[:, :, [0, 2, 3]]
        if not nodes.size or (links < 0).any() or (links >= limits).any():
            raise ContentError("a tree has a link to no node or no feature")
        return cls(nodes, base, n_features)
