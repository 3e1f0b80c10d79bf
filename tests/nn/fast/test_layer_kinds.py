import torch
from torch import Tensor, nn

from raynas.nn.fast.mixed_operation import mixed
from tests.nn.fast.operations import C, separable


class Calls(nn.ReLU):
    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        return super().forward(x)


def test_modules_with_hooks_and_subclasses_are_called_as_they_are() -> None:
    relu, seen = Calls(), list[nn.Module]()
    hooked = nn.Sequential(*separable(3))
    hooked[3].register_forward_hook(lambda module, _, out: seen.append(module))
    whole = nn.Sequential(*separable(3))
    whole.register_forward_pre_hook(lambda module, _: seen.append(module))
    mixed([nn.Sequential(relu, nn.BatchNorm2d(C, affine=False)), hooked, whole], torch.ones(3), torch.randn(2, C, 6, 6))
    assert relu.n == 1
    assert seen == [hooked[3], whole]


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
