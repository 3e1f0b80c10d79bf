import copy
from collections.abc import Callable, Sequence
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from raynas.nn.fast.layer_kinds import Candidate
from raynas.nn.fast.memo import Memo
from raynas.nn.fast.mixed_operation import mixed
from raynas.nn.operations import HalvingConv, factorized_reduce

C = 4
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def separable(kernel: int, stride: int = 1, dilation: int = 1, channels: int = C) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]


class Odd(nn.Module):
    """Something that nobody looks into."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(C, C, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))


def operations(stride: int = 1) -> list[nn.Module]:
    """Those of DARTS, and some that are almost like them."""
    skip = nn.Identity() if stride == 1 else nn.Sequential(nn.ReLU(), Odd(stride), nn.BatchNorm2d(C, affine=False))
    return [
        nn.Sequential(nn.MaxPool2d(3, stride, padding=1), nn.BatchNorm2d(C, affine=False)),
        nn.Sequential(
            nn.AvgPool2d(3, stride, padding=1, count_include_pad=False), nn.BatchNorm2d(C, affine=False, momentum=None)
        ),
        nn.AvgPool2d(3, stride, padding=1),
        skip,
        nn.Sequential(*separable(3, stride), *separable(3)),
        nn.Sequential(*separable(5, stride), *separable(5)),
        nn.Sequential(*separable(3, stride, 2)),
        nn.Sequential(*separable(5, stride, 2)),
        nn.Sequential(nn.Sequential(*separable(3, stride)[:2]), nn.BatchNorm2d(C), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(C, C, 1, stride), nn.BatchNorm2d(C, affine=False, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(C, C, 1, stride), nn.BatchNorm2d(C, affine=False), nn.Tanh()),
        nn.Sequential(nn.MaxPool2d(2, 1, padding=1), nn.MaxPool2d(2, stride)),
        Odd(stride),
    ]


def buffers(ops: Sequence[nn.Module]) -> dict[str, Tensor]:
    return nn.ModuleList(ops).state_dict()


def compared(
    ops: Sequence[nn.Module], x: Tensor, *, edges: int = 1, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Check the fast way against the plain one on ``edges`` edges from one state; gives both outputs."""
    found = []
    for fused in (False, True):
        network = nn.ModuleList(copy.deepcopy(nn.ModuleList(ops)) for _ in range(edges)).to(dtype)
        torch.manual_seed(1)
        weights = [torch.randn(len(ops), dtype=dtype).requires_grad_() for _ in range(edges)]
        state = x.detach().to(dtype).requires_grad_()
        memo = Memo()
        out = torch.stack(
            [
                mixed(list(cast(nn.ModuleList, e)), w, state, memo, fused=fused)
                for e, w in zip(network, weights, strict=True)
            ]
        ).sum(0)
        wanted = [state, *weights, *network.parameters()]
        grad = torch.randn(out.shape, dtype=dtype, generator=torch.Generator().manual_seed(2))
        found.append((out, torch.autograd.grad(out, wanted, grad), network.state_dict()))
    (plain, plain_grads, plain_state), (fast, fast_grads, fast_state) = found
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(fast, plain, atol=tolerance, rtol=tolerance)
    for ours, theirs in zip(fast_grads, plain_grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=10 * tolerance, rtol=10 * tolerance)
    torch.testing.assert_close(fast_state, plain_state, atol=tolerance, rtol=tolerance)
    return plain.detach(), fast.detach()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, C, 8, 8), (2, C, 7, 5)])
def test_values_gradients_and_statistics_are_those_of_the_plain_sum(
    stride: int, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    compared(operations(stride), torch.randn(shape) + 0.5, dtype=dtype)


def test_edges_from_one_state_share_what_has_no_parameters() -> None:
    torch.manual_seed(0)
    compared(operations(), torch.randn(3, C, 6, 6), edges=3)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_every_edge_updates_its_own_running_statistics(momentum: float | None) -> None:
    memo, x = Memo(), torch.randn(4, C, 5, 5)
    edges = [
        [nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(C, affine=False, momentum=momentum))] for _ in range(2)
    ]
    plain = copy.deepcopy(edges)
    for _ in range(2):
        for edge, other in zip(edges, plain, strict=True):
            mixed(edge, torch.ones(1), x, memo)
            mixed(other, torch.ones(1), x, fused=False)
    for edge, other in zip(edges, plain, strict=True):
        torch.testing.assert_close(buffers(edge), buffers(other))


def test_eval_mode_uses_running_statistics_and_keeps_them() -> None:
    torch.manual_seed(0)
    ops = operations()
    for _ in range(3):
        mixed(ops, torch.ones(len(ops)), torch.randn(4, C, 6, 6) + 1)
    for op in ops:
        op.eval()
    before = copy.deepcopy(buffers(ops))
    compared(ops, torch.randn(3, C, 6, 6))
    torch.testing.assert_close(buffers(ops), before, rtol=0, atol=0)


def test_bfloat16_autocast_is_as_exact_as_the_plain_sum_in_bfloat16() -> None:
    torch.manual_seed(0)
    ops = nn.ModuleList([nn.Sequential(*separable(k), *separable(k)) for k in (3, 5)])
    ops.extend([nn.Sequential(*separable(5, 1, 2)), operations()[0], operations()[1], nn.Identity()])
    x, weights = torch.randn(8, C, 8, 8), torch.randn(len(ops))
    gradients = []
    for enabled, fused in ((False, False), (True, False), (True, True)):
        w = weights.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = mixed(list(copy.deepcopy(ops)), w, x, fused=fused)
        gradients.append(torch.autograd.grad(out.float().square().sum(), w)[0])
    exact, plain, fast = gradients
    assert (fast - exact).norm() < 1.5 * (plain - exact).norm() + 1e-3 * exact.norm()
    assert (fast - exact).norm() < 0.02 * exact.norm()


class Calls(nn.ReLU):
    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        return super().forward(x)


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
    memo.clear()
    get("a")
    assert computed == ["a", "b", "c", "a", "a"]


def test_modules_with_hooks_and_subclasses_are_called_as_they_are() -> None:
    relu, seen = Calls(), list[nn.Module]()
    hooked = nn.Sequential(*separable(3))
    hooked[3].register_forward_hook(lambda module, _, out: seen.append(module))
    whole = nn.Sequential(*separable(3))
    whole.register_forward_pre_hook(lambda module, _: seen.append(module))
    mixed([nn.Sequential(relu, nn.BatchNorm2d(C, affine=False)), hooked, whole], torch.ones(3), torch.randn(2, C, 6, 6))
    assert relu.n == 1
    assert seen == [hooked[3], whole]


def test_candidates_may_be_functions() -> None:
    x = torch.randn(2, C, 6, 6)
    torch.testing.assert_close(mixed([torch.sin, torch.cos], torch.tensor([2.0, 3.0]), x), 2 * x.sin() + 3 * x.cos())


def test_inputs_other_than_images_take_the_plain_path() -> None:
    x = torch.randn(5, 3)
    linear = nn.Sequential(nn.ReLU(), nn.Linear(3, 3))
    torch.testing.assert_close(mixed([linear, nn.Identity()], torch.tensor([2.0, 1.0]), x), 2 * linear(x) + x)
    heads = [nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(3 * C, 2)) for _ in range(2)]
    image = torch.randn(2, C, 3, 1)
    weights = torch.tensor([2.0, 3.0])
    torch.testing.assert_close(mixed(heads, weights, image), mixed(heads, weights, image, fused=False))


class Edge(nn.Module):
    def __init__(self, ops: Sequence[nn.Module]) -> None:
        super().__init__()
        self.ops = nn.ModuleList(ops)

    def forward(self, weights: Tensor, x: Tensor) -> Tensor:
        return mixed(list(self.ops), weights, x)


def test_gradcheck_of_both_orders() -> None:
    torch.manual_seed(3)
    ops = [
        nn.Sequential(nn.MaxPool2d(2, 1), nn.BatchNorm2d(2, affine=False)),
        nn.Sequential(*separable(3, channels=2), *separable(3, channels=2)[:3], nn.AvgPool2d(2, 1)),
        nn.Sequential(*separable(3, channels=2)[:3], nn.AvgPool2d(2, 1), nn.BatchNorm2d(2, affine=False, eps=0.1)),
        nn.AvgPool2d(2, 1),
    ]
    edge = Edge(ops).double()
    names = [name for name, _ in edge.named_parameters()]

    def run(weights: Tensor, x: Tensor, *parameters: Tensor) -> Tensor:
        out: Tensor = functional_call(edge, dict(zip(names, parameters, strict=True)), (weights, x))
        return out

    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((4,), (2, 2, 4, 3))]
    inputs += [parameter.detach().clone().requires_grad_() for parameter in edge.parameters()]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_weights_alone_and_input_alone_can_need_gradients() -> None:
    ops, x, w = operations(), torch.randn(3, C, 6, 6), torch.randn(len(operations()))
    for module in ops:
        module.requires_grad_(False)
    alone = torch.autograd.grad(mixed(ops, w.requires_grad_(), x).square().sum(), w)[0]
    both = torch.autograd.grad(mixed(ops, w, x.requires_grad_()).square().sum(), (w, x))
    torch.testing.assert_close(alone, both[0])
    torch.testing.assert_close(torch.autograd.grad(mixed(ops, w.detach(), x).square().sum(), x)[0], both[1])
    with torch.no_grad():
        assert not mixed(ops, w, x).requires_grad


def kept_bytes(run: Callable[[], Tensor]) -> int:
    """The size of what is kept for the backward pass, each storage counted once."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_keeps_at_most_0_6_of_what_the_plain_sum_keeps() -> None:
    ops = [op for i, op in enumerate(operations()) if i in (0, 1, 3, 4, 5, 6, 7)]
    x = torch.randn(8, C, 16, 16, requires_grad=True)
    w = torch.ones(len(ops), requires_grad=True)

    def three_edges(fused: bool) -> Tensor:
        memo = Memo()
        return torch.stack([mixed(ops, w, x, memo, fused=fused) for _ in range(3)]).sum(0)

    assert kept_bytes(lambda: three_edges(True)) <= 0.6 * kept_bytes(lambda: three_edges(False))


def test_refuses_other_than_one_weight_for_each_candidate() -> None:
    x = torch.randn(2, C, 6, 6)
    with pytest.raises(ValueError, match=r"one weight for each of 2 >= 1 candidates, got \(3,\)"):
        mixed([nn.ReLU(), nn.Identity()], torch.ones(3), x)
    with pytest.raises(ValueError, match="one weight"):
        mixed([], torch.ones(0), x)


def test_batch_norm_of_a_single_value_is_refused_as_pytorch_does() -> None:
    with pytest.raises(ValueError, match=r"more than (one|1) value per channel"):
        mixed([nn.Sequential(*separable(3))], torch.ones(1), torch.randn(1, C, 1, 1))


def test_the_type_of_the_sum_is_that_of_the_plain_one() -> None:
    x = torch.randn(2, C, 6, 6)
    conv = nn.Sequential(*separable(3))
    for ops in ([conv], [conv, nn.Identity()], [nn.Identity(), conv]):
        for autocast in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                types = [mixed(ops, torch.ones(len(ops)), x, fused=fused).dtype for fused in (False, True)]
            assert types[0] == types[1]


@pytest.mark.parametrize("side", [6, 7])
def test_halving_convolutions(side: int) -> None:
    torch.manual_seed(0)
    ops = [factorized_reduce(C, C, affine=False), nn.Sequential(*separable(3, 2, 2)), HalvingConv(C, C)]
    compared(ops, torch.randn(3, C, side, side), edges=2)


def test_gradients_are_in_channels_last_order() -> None:
    orders: list[bool] = []
    state = torch.randn(3, C, 8, 8, requires_grad=True)
    x = state.contiguous(memory_format=torch.channels_last)
    x.register_hook(lambda grad: orders.append(grad.is_contiguous(memory_format=torch.channels_last)))
    ops: list[Candidate] = [*operations(2), factorized_reduce(C, C, affine=False), lambda x: x[:, :, 1::2, 1::2]]
    mixed(ops, torch.ones(len(ops)), x).sum().backward()
    assert orders == [True]


def test_second_derivatives_of_a_chain_with_shared_weights() -> None:
    # The value of the second sum depends on the weights too, through the first.
    torch.manual_seed(0)
    cells = nn.ModuleList(nn.ModuleList([conv_bn(), conv_bn(), nn.Identity()]) for _ in range(3)).double()
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)

    def loss(weights: Tensor, fused: bool) -> Tensor:
        y = x
        for cell in cells:
            assert isinstance(cell, nn.ModuleList)
            y = mixed(list(cell), weights, y, fused=fused)
        return y.square().sum() / 10 + y[:, 0].pow(3).sum() / 30

    weights = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
    exact, found = (
        torch.autograd.functional.hessian(lambda w, fused=fused: loss(w, fused), weights) for fused in (False, True)
    )
    torch.testing.assert_close(found, exact)


def conv_bn() -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2, affine=False))


def test_a_layer_that_works_in_place_spoils_no_shared_result() -> None:
    class Drop(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(0.5)

    def pooled(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(C, affine=False), *layers)

    candidates = [pooled(), pooled(nn.ReLU(inplace=True)), pooled(Drop()), pooled(nn.Conv2d(C, C, 1)), pooled()]
    x, weights = torch.randn(2, C, 6, 6, requires_grad=True), torch.rand(5, requires_grad=True)
    results = []
    for fused in (False, True):
        out = mixed(candidates, weights, x, fused=fused)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, weights))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_candidate_that_changes_the_input_is_refused(fused: bool, wrapped: bool) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.relu(x)
            return out + 1

    first = Block() if wrapped else nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(C, C, 1))
    x = torch.randn(2, C, 6, 6, requires_grad=True) * 1
    with pytest.raises(ValueError, match="changes its input in place"):
        mixed([first, nn.Identity()], torch.ones(2), x, fused=fused)


def test_tensors_of_the_inference_mode() -> None:
    candidates = operations()
    for candidate in candidates:
        candidate.eval()
    x, weights = torch.randn(2, C, 6, 6), torch.rand(len(candidates))
    with torch.inference_mode():
        out = mixed(candidates, weights, x * 1)
    torch.testing.assert_close(out, mixed(candidates, weights, x, fused=False), rtol=1e-4, atol=1e-5)


def test_average_pooling_is_differentiable_after_the_inference_mode() -> None:
    pool, weights = nn.AvgPool2d(3, 1, 1, count_include_pad=False), torch.ones(1, dtype=torch.float64)
    x = torch.randn(2, C, 11, 13, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        mixed([pool], weights, x)
    (grad,) = torch.autograd.grad(mixed([pool], weights, x).sum(), x)
    torch.testing.assert_close(grad, torch.autograd.grad(pool(x).sum(), x)[0])


def test_sizes_may_be_lists_and_layers_may_hand_on_anything() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Sum(nn.Module):
        def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
            return pair[0] + pair[1]

    lists = [nn.MaxPool2d([3, 3], [1, 1], [1, 1]), nn.AvgPool2d([3, 1], [1, 1], [1, 0])]  # type: ignore[arg-type]
    candidates = [*lists, nn.Sequential(nn.ReLU(), Twice(), Sum())]
    x, weights = torch.randn(2, C, 6, 6), torch.rand(3)
    torch.testing.assert_close(mixed(candidates, weights, x), mixed(candidates, weights, x, fused=False))


@pytest.mark.parametrize("fused", [False, True])
def test_outputs_of_different_shapes_are_refused(fused: bool) -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        mixed([nn.AdaptiveAvgPool2d(1), nn.Identity()], torch.ones(2), torch.randn(2, C, 6, 6), fused=fused)
