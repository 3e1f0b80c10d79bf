"""The part of scikit-learn's interface that strategies use; the package itself is imported where it is needed."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Regressor(Protocol):
    """A regressor of scikit-learn."""

    def fit(self, x: Array, y: Array) -> "Regressor":
        """Learn targets ``(n,)`` from inputs ``(n, n_features)``; return the regressor itself."""

    def predict(self, x: Array) -> Array:
        """Predict targets ``(n,)``."""
