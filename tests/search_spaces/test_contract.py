"""Every space of the catalogue keeps the contract, made small so that its networks are quick to run."""

import pytest

from raynas.search_spaces import SEARCH_SPACES
from raynas.space import SearchSpace
from raynas.testing import SpaceContract


class TestCatalogue(SpaceContract):
    @pytest.fixture(params=sorted(SEARCH_SPACES))
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        return SEARCH_SPACES[request.param](input_shape=(1, 8, 8))  # type: ignore[call-arg]


@pytest.mark.parametrize("name", sorted(SEARCH_SPACES))
def test_defaults_make_a_space(name: str) -> None:
    SEARCH_SPACES[name]().check(n_samples=0)
