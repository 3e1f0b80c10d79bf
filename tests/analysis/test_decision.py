"""The worth of a cheap score for a decision, by hand."""

import pytest

from raynas.analysis import decision_worth


def test_a_score_that_ranks_right_costs_nothing() -> None:
    found = decision_worth("s", [1, 2, 3, 4, 5, 6, 7, 8], [10, 20, 30, 40, 50, 60, 70, 80])
    assert found.spearman.rho == pytest.approx(1) and found.kendall == pytest.approx(1)
    assert (found.k, found.precision, found.regret) == (2, 1.0, 0.0)
    assert found.chance == pytest.approx(35)


def test_regret_is_that_of_its_first_choice() -> None:
    found = decision_worth("s", [9, 1, 2, 3], [1.0, 4.0, 2.0, 3.0])
    assert found.k == 1 and found.precision == 0 and found.regret == pytest.approx(3)
    # Pairs in the same order: (1, 2)... of six, two; so (2 - 4) / 6.
    assert found.kendall == pytest.approx(-4 / 6)


def test_what_cannot_be_told_is_none() -> None:
    assert decision_worth("s", [1, 1, 1], [1, 2, 3]).kendall is None
    assert decision_worth("s", [1, 2], [1, 2]).spearman.rho is None
    with pytest.raises(ValueError, match="need a value for each candidate, got 2 and 1"):
        decision_worth("s", [1, 2], [1])
