from collections.abc import Iterator, Sequence

import pytest

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Decision, Integer
from tests.core.decided import CHAIN, Decided


class TestSize:
    @pytest.mark.parametrize("n", range(1, len(CHAIN) + 1))
    def test_equals_enumeration(self, n: int) -> None:
        space = Decided(*CHAIN[:n])
        assert space.size == len(set(space.enumerate()))

    def test_equals_what_exhaustive_supersets_canonicalise_to(self) -> None:
        space = Decided(*CHAIN)
        assert space.size == len({space.canonical(options) for options in _supersets(CHAIN)})

    def test_of_many_decisions_is_exact_and_quick(self) -> None:
        layers = [Categorical(f"op{i}", tuple("abcde"), active_if={"depth": range(i + 1, 61)}) for i in range(60)]
        assert Decided(Integer("depth", 1, 60), *layers).size == sum(5**depth for depth in range(1, 61))


def _supersets(decisions: Sequence[Decision]) -> Iterator[dict[str, Option]]:
    if not decisions:
        yield {}
        return
    for options in _supersets(decisions[:-1]):
        for option in decisions[-1].options:
            yield {**options, decisions[-1].name: option}
