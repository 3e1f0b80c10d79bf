import numpy as np
import pytest

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.error import prediction_error


def test_shares_ranks_and_bias() -> None:
    error = prediction_error([1.05, 2.0, 2.5, 4.8], [1.0, 2.0, 3.0, 4.0], "a test")
    assert (error.n, error.within, error.spearman, error.kendall) == (4, 0.5, 1.0, 1.0)
    assert error.bias == pytest.approx(0.035)
    assert str(error) == "50% within 10%, Spearman 1.000, Kendall 1.000, bias +3.5% (a test, n = 4)"


def test_swapped_neighbours_cost_rank() -> None:
    error = prediction_error(np.array([2.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0]), "")
    assert [error.spearman, error.kendall] == pytest.approx([1 / 2, 1 / 3])


def test_equal_predictions_have_no_rank() -> None:
    error = prediction_error([2.0, 2.0], [1.0, 2.0], "")
    assert (error.spearman, error.kendall) == (0.0, 0.0)


@pytest.mark.parametrize(("said", "true"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_pairs_are_needed(said: list[float], true: list[float]) -> None:
    with pytest.raises(SettingError, match="two or more pairs"):
        prediction_error(said, true, "")
