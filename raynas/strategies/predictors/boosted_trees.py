"""Boosted trees predict; a bagged ensemble of them gives the uncertainty.

Luo, Tan, Wang, Qin, Chen and Liu, "Accuracy Prediction with Non-neural Model for Neural Architecture Search"
(arXiv:2007.04785, "GBDT-NAS"), who predict from one-hot decisions; stochastic gradient boosting is Friedman's (2002).
Deviations: scikit-learn's trees instead of LightGBM's; several boosted models, each of a bootstrap sample (Breiman,
1996), give an uncertainty, which lets the search explore; every proposal uses all observations so far, where the paper
trains thousands at a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.errors import SettingError
from raynas.regression.regressor import Regressor
from raynas.strategies.base import require_at_least, require_one_of
from raynas.strategies.predictors.acquisition import Acquisition
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.ensemble import ENCODINGS, Encoding, EnsemblePredictor

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BoostedTrees(PredictorStrategy):
    """Predict every candidate by gradient boosted trees, try the most promising.

    Args:
        encoding: input of the trees: "all" features that the space gives, the "path" encoding of BANANAS, or the
            "decisions" one-hot.
        n_models: boosted models, each of a bootstrap sample of the observations; at least 2.
        n_trees: trees of each model; at least 1.
        depth: splits from the root of a tree to a leaf; at least 1.
        learning_rate: factor of each tree's prediction; in (0, 1].
        feature_share: share of the inputs that each split is chosen from, drawn at random; in (0, 1].
    """

    acquisition: Acquisition = "ucb"
    encoding: Encoding = "all"
    n_models: int = 5
    n_trees: int = 100
    depth: int = 3
    learning_rate: float = 0.1
    feature_share: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"n_models": 2, "n_trees": 1, "depth": 1})
        for name in ("learning_rate", "feature_share"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingError(f"{name} must be in (0, 1], got {getattr(self, name)}")
        require_one_of(self, "encoding", ENCODINGS)

    def make_predictor(self) -> "TreesPredictor":
        return TreesPredictor(self)


class TreesPredictor(EnsemblePredictor):
    """Boosted trees, each model fitted to a bootstrap sample."""

    def __init__(self, settings: BoostedTrees) -> None:
        super().__init__(settings.encoding)
        self.settings = settings
        self.models: list[Regressor] = []

    def train(self, x: Array, targets: Array, rng: np.random.Generator) -> None:
        self.models = []
        for _ in range(self.settings.n_models):
            drawn = rng.integers(len(x), size=len(x))
            self.models.append(self._model(int(rng.integers(2**31))).fit(x[drawn], targets[drawn]))

    def predict(self, x: Array) -> Array:
        return np.stack([model.predict(x) for model in self.models])

    def _model(self, seed: int) -> Regressor:
        from sklearn.ensemble import GradientBoostingRegressor  # takes .4 s, which few searches need

        settings = self.settings
        model: Regressor = GradientBoostingRegressor(
            n_estimators=settings.n_trees,
            max_depth=settings.depth,
            learning_rate=settings.learning_rate,
            max_features=settings.feature_share,
            random_state=seed,
        )
        return model
