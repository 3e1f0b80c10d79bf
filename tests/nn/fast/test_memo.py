import pytest
import torch
from torch import Tensor, nn

from raynas.nn.fast.memo import Memo
from raynas.nn.fast.mixed_operation import mixed
from tests.nn.fast.operations import C, assert_equal_to_plain_sum, operations, separable


def test_edges_from_one_state_share_what_has_no_parameters() -> None:
    torch.manual_seed(0)
    assert_equal_to_plain_sum(operations(), torch.randn(3, C, 6, 6), edges=3)


def count_relu(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    seen: list[Tensor] = []
    relu = torch.relu

    def counting(x: Tensor) -> Tensor:
        seen.append(x)
        return relu(x)

    monkeypatch.setattr(torch, "relu", counting)
    return seen


def test_one_relu_per_state(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = count_relu(monkeypatch)
    memo, x = Memo(), torch.randn(2, C, 6, 6)
    ops = [nn.Sequential(*separable(3)), nn.Sequential(*separable(5))]
    mixed(ops, torch.ones(2), x, memo)
    mixed(ops, torch.ones(2), x, memo)
    assert len(seen) == 1
    mixed(ops, torch.ones(2), x + 0, memo)
    assert len(seen) == 2
    mixed(ops, torch.ones(2), x)
    assert len(seen) == 3


def test_memo_sees_that_a_tensor_was_changed_in_place() -> None:
    memo, x = Memo(), torch.randn(2, C, 6, 6)
    ops = [nn.ReLU(), nn.MaxPool2d(3, 1, 1)]
    mixed(ops, torch.ones(2), x, memo)
    x.neg_()
    torch.testing.assert_close(mixed(ops, torch.ones(2), x, memo), mixed(ops, torch.ones(2), x, fused=False))


def test_memo_without_gradients_does_not_serve_a_call_that_needs_them() -> None:
    memo, x = Memo(), torch.randn(2, C, 6, 6, requires_grad=True)
    with torch.no_grad():
        mixed([nn.ReLU()], torch.ones(1), x, memo)
    assert mixed([nn.ReLU()], torch.ones(1), x, memo).requires_grad


def test_memo_drops_the_oldest() -> None:
    memo, x, computed = Memo(size=2), torch.zeros(1), list[str]()

    def get(key: str) -> None:
        memo.get(x, key, lambda _: computed.append(key))

    for key in "abacb":
        get(key)
    assert computed == ["a", "b", "c"]
    get("a")
    memo.finish()
    get("a")
    assert computed == ["a", "b", "c", "a", "a"]
