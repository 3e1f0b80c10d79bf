import numpy as np
import pytest
from ray import tune

from raynas.core.decision import Decision, Real
from raynas.core.tune_domains import decision_of, domain_of
from raynas.errors import SpaceError
from tests.core.decided import CHAIN, KIND, LR, MOMENTUM, Decided


class TestParamSpace:
    def test_covers_every_option(self) -> None:
        domains = Decided(*CHAIN).param_space()
        for decision in CHAIN:
            assert {domains[decision.name].sample() for _ in range(100)} == set(decision.options)

    def test_numbers_keep_their_scale(self) -> None:
        domains = Decided(KIND, LR, MOMENTUM).param_space()
        assert np.median([domains["lr"].sample() for _ in range(500)]) == pytest.approx(10**-2.5, rel=0.5)
        assert all(0 <= domains["momentum"].sample() <= 0.9 for _ in range(100))


@pytest.mark.parametrize("decision", [*CHAIN[:2], LR, Real("x", low=-1.0, high=1.0)], ids=lambda d: d.name)
def test_a_domain_is_a_decision_again(decision: Decision) -> None:
    assert decision_of(decision.name, domain_of(decision)) == decision


def test_a_domain_that_cannot_be_mutated_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"hyperparameter 'x' cannot be searched by raynas as .*: use tune.choice"):
        decision_of("x", tune.randn(0, 1))
