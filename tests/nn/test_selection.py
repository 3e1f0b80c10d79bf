import pytest
import torch

from raynas.errors import SpaceError
from raynas.nn.selection import Call, Mixture, calling, current_call


def test_a_mixture_computes_the_active_alternatives() -> None:
    weights = torch.tensor([0.1, 0.2, 0.7])
    assert list(Mixture(weights).indices) == [0, 1, 2]
    some = Mixture(weights, active=(2, 0))
    assert len(some) == 3 and some.indices == (2, 0)
    assert torch.equal(some.active_weights, weights[[2, 0]])


def test_a_vector_is_the_mixture_of_all_alternatives() -> None:
    selected = Call({"op": torch.ones(2), "depth": 3}).of("op")
    assert isinstance(selected, Mixture) and selected.active is None
    assert Call({"depth": 3}).of("depth") == 3
    with pytest.raises(SpaceError, match="lacks decision 'op'"):
        Call({}).of("op")


def test_calls_nest_and_forget_their_memo() -> None:
    outer, inner = Call({"op": "a"}), Call({"op": "b"})
    with calling(outer):
        outer.memo.get(torch.zeros(1), "key", torch.relu)
        with calling(inner):
            assert current_call() is inner
        assert current_call() is outer
    with pytest.raises(SpaceError, match=r"only inside supernet\(x, selection\)"):
        current_call()
    assert not outer.memo._results
