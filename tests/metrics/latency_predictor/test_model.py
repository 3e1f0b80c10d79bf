import numpy as np
import pytest

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.model import MIN_MS, LogScale, Scale, take


@pytest.mark.parametrize("kind", [Scale, LogScale])
def test_a_scale_goes_both_ways(kind: type[Scale]) -> None:
    ms = np.array([1.0, 4.0, 9.0])
    scale = kind.of(ms)
    targets = scale.targets(ms)
    assert targets.mean() == pytest.approx(0) and targets.std() == pytest.approx(1)
    np.testing.assert_allclose(scale.ms(targets), ms)
    assert scale.ms(np.array([-100.0]))[0] == pytest.approx(MIN_MS)


@pytest.mark.parametrize("kind", [Scale, LogScale])
def test_equal_latencies_have_a_scale(kind: type[Scale]) -> None:
    np.testing.assert_allclose(kind.of(np.array([4.0, 4.0])).ms(np.array([0.0])), 4.0)


def test_predictions_on_a_logarithmic_scale_are_finite() -> None:
    assert np.isfinite(LogScale.of(np.array([1.0, 9.0])).ms(np.array([1e6]))).all()


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, None)])
def test_a_tensor_of_another_shape_is_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ContentError, match="tensor x"):
        take({"x": np.ones((2, 3))}, "x", shape)


def test_a_tensor_must_be_there_and_finite() -> None:
    assert take({"x": np.ones((2, 3))}, "x", (None, 3)).shape == (2, 3)
    with pytest.raises(ContentError, match="missing"):
        take({}, "x", (1,))
    with pytest.raises(ContentError, match="not finite"):
        take({"x": np.array([np.nan])}, "x", (1,))


def test_a_spread_is_positive() -> None:
    with pytest.raises(ContentError, match="spread"):
        Scale.restored({"scale": np.array([1.0, 0.0])})
