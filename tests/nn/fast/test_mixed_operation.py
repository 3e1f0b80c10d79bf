import copy
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from raynas.nn.fast.memo import Memo
from raynas.nn.fast.mixed_operation import mixed
from tests.nn.fast.operations import C, assert_equal_to_plain_sum, operations, separable


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, C, 8, 8), (2, C, 7, 5)])
def test_values_gradients_and_statistics_are_those_of_the_plain_sum(
    stride: int, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    assert_equal_to_plain_sum(operations(stride), torch.randn(shape) + 0.5, dtype=dtype)


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


@pytest.mark.parametrize("fused", [False, True])
def test_outputs_of_different_shapes_are_refused(fused: bool) -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        mixed([nn.AdaptiveAvgPool2d(1), nn.Identity()], torch.ones(2), torch.randn(2, C, 6, 6), fused=fused)
