"""A support vector regression from the first part of a learning curve to its final value.

Baker, Gupta, Raskar and Naik (ICLR workshop 2018, arXiv:1705.10823), section 3.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
from numpy.typing import NDArray

from raynas.regression.regressor import Regressor

Array = NDArray[np.float64]
CANDIDATES = tuple((kernel, penalty) for kernel in ("linear", "rbf") for penalty in (0.3, 10.0))
"""Kernels and C of the support vector regression; the pair with the smallest cross-validated error is used."""

Scale = Callable[[Array], Array]
"""Maps values of a curve, of any shape, to targets of a model; increasing."""


def gap_scale(finals: Array) -> Scale:
    """Return the map to negative log regret in units of the median regret of ``finals``; odd around their best."""
    gaps = finals.max() - finals
    unit = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    return partial(_log_gap, float(finals.max()), unit)


def _log_gap(best: float, unit: float, values: Array) -> Array:
    ahead = (values - best) / unit
    return np.asarray(np.sign(ahead) * np.log1p(np.abs(ahead)))


def identity(values: Array) -> Array:
    """Return the values unchanged."""
    return values


class CurveModel:
    """A nu-SVR, and its error on curves that it was not fitted to.

    Args:
        features: ``(n, n_features)``.
        targets: final values, ``(n,)``.
        scale: the map that features and targets were computed by.
    """

    def __init__(self, features: Array, targets: Array, scale: Scale = identity) -> None:
        self.n_features, self.scale = features.shape[1], scale
        self._centre, self._scale = features.mean(axis=0), _spread(features)
        self._offset, self._unit = float(targets.mean()), float(_spread(targets))
        x, y = (features - self._centre) / self._scale, (targets - self._offset) / self._unit
        with _unchecked():
            tried = [_cross_validated(x, y, *candidate) for candidate in CANDIDATES]
            best = min(range(len(tried)), key=lambda i: tried[i][0])
            error, self._folds = tried[best]
            self._svr = _svr(*CANDIDATES[best]).fit(x, y)
        self.deviation = max(error * self._unit, 1e-12)

    def predict(self, features: Sequence[float] | Array) -> tuple[float, float]:
        """Return the final value of a curve and its standard deviation, both on ``scale``.

        The deviation is that of the errors and of the predictions of the models of the folds.

        Args:
            features: ``(n_features,)``.
        """
        x = (np.asarray(features) - self._centre)[None] / self._scale
        with _unchecked():
            spread = self._unit * float(np.std([fold.predict(x)[0] for fold in self._folds]))
            mean = self._offset + self._unit * float(self._svr.predict(x)[0])
        return mean, math.hypot(self.deviation, spread)


def _spread(values: Array) -> Array:
    deviation = values.std(axis=0)
    return np.where(deviation > 1e-12, deviation, 1.0)


def _cross_validated(x: Array, y: Array, kernel: str, penalty: float) -> tuple[float, list[Regressor]]:
    """Return the root mean squared error on five folds, and the model of each."""
    n_folds = min(5, len(y))
    errors, models = np.empty(len(y)), []
    for fold in range(n_folds):
        left_out = np.arange(len(y)) % n_folds == fold
        model = _svr(kernel, penalty).fit(x[~left_out], y[~left_out])
        errors[left_out] = model.predict(x[left_out]) - y[left_out]
        models.append(model)
    return float(np.sqrt((errors**2).mean())), models


def _unchecked() -> AbstractContextManager[None]:
    """Skip scikit-learn's checks of settings and numbers, which take longer than a fit on so little data."""
    from sklearn import config_context

    unchecked: AbstractContextManager[None] = config_context(assume_finite=True, skip_parameter_validation=True)
    return unchecked


def _svr(kernel: str, penalty: float) -> Regressor:
    from sklearn.svm import NuSVR  # Only the driver needs it, workers import this package too.

    svr: Regressor = NuSVR(kernel=kernel, C=penalty, nu=0.5, gamma="scale")
    return svr
