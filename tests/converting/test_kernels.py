"""Kernels of convolutions that shrink to their middle."""

import copy
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.converting import Kernel, convert
from raynas.errors import SpaceError
from raynas.exporting.source import write_source
from raynas.nn.supernet import Supernet
from raynas.oneshot.progressive_shrinking import kinds


class Net(nn.Module):
    """A stride, a dilation, a depthwise convolution without enough padding, padding by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.b = nn.Conv2d(8, 8, 5, padding=4, dilation=2)
        self.c = nn.Conv2d(8, 8, 5, padding=1, groups=8)
        self.d = nn.Conv2d(8, 4, 3, padding="same")
        self.e = nn.Conv2d(4, 2, 3, padding="valid")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.e(self.d(self.c(self.b(self.a(x)).relu()).relu()).relu())
        return y


X = torch.rand(2, 3, 16, 16)


def test_a_smaller_kernel_computes_what_the_middle_of_the_given_one_does() -> None:
    model = Net()
    space = convert(model, X, vary={"*": Kernel(1, 3, 5)})
    options = {decision.name.partition(".")[0]: list(decision.options) for decision in space.decisions}
    assert options == {"a": [7, 5, 3, 1], "b": [5, 3, 1], "c": [5, 3], "d": [3, 1]}
    arch = {"a.kernel_size": 3, "b.kernel_size": 3, "c.kernel_size": 3, "d.kernel_size": 1}
    silent = copy.deepcopy(model)
    for path, size in (("a", 3), ("b", 3), ("c", 3), ("d", 1)):
        weight = silent.get_submodule(path).get_parameter("weight")
        mask = torch.zeros_like(weight)
        edge = (weight.shape[-1] - size) // 2
        mask[:, :, edge : edge + size, edge : edge + size] = 1
        weight.data *= mask
    member = space.build(arch)
    assert [member.get_submodule(path).kernel_size for path in "abcd"] == [(3, 3), (3, 3), (3, 3), (1, 1)]
    torch.testing.assert_close(member(X), silent(X))
    supernet = Supernet(space)
    torch.testing.assert_close(supernet(X, arch), member(X))
    torch.testing.assert_close(supernet.extract(arch)(X), member(X))
    assert set(kinds(supernet).values()) == {"kernel"}
    assert space.summary().startswith("Net: 4 kernels, ")
    write_source(member, "A network of smaller kernels")  # which compares the layers with what their constructor makes


def test_kernels_vary_only_where_they_are_named() -> None:
    assert not any("kernel" in decision.name for decision in convert(Net(), X, divisor=4).decisions)
    named = convert(Net(), X, vary={"a": Kernel(3), "b.kernel_size": Kernel(3)}, keep=["b"])
    assert [decision.name for decision in named.decisions] == ["a.kernel_size"]


def test_bad_kernels_are_refused() -> None:
    with pytest.raises(SpaceError, match="odd sizes"):
        Kernel(2)
    with pytest.raises(SpaceError, match="no convolution with an odd kernel"):
        convert(Net(), X, vary={"nowhere": Kernel(3)})


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_a_padding_that_is_an_operation_of_its_own_shrinks_too(
    mode: Literal["circular", "reflect", "replicate"],
) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 5, padding=2, stride=2, padding_mode=mode), nn.Conv2d(4, 4, 3, padding=1, padding_mode=mode)
    )
    space = convert(model, X, vary={"*": Kernel(1, 3)})
    assert [list(decision.options) for decision in space.decisions] == [[5, 3, 1], [3, 1]]
    for sizes in ((3, 3), (1, 3), (3, 1)):
        arch = {f"{i}.kernel_size": size for i, size in enumerate(sizes)}
        silent = copy.deepcopy(model)
        for weight, size in zip((silent[0].weight, silent[1].weight), sizes, strict=True):
            assert isinstance(weight, Tensor)
            edge = (weight.shape[-1] - size) // 2
            weight.data *= functional.pad(torch.ones(size, size), [edge] * 4)
        torch.testing.assert_close(space.build(arch)(X), silent(X))
        torch.testing.assert_close(Supernet(space)(X, arch), silent(X))


class Padded(nn.Module):
    """Pads by a number in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.padded = nn.Conv2d(4, 4, 5, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        padding: Any = self.padded.padding[0]
        y: Tensor = functional.conv2d(self.conv(x), self.padded.weight, padding=padding)
        out: Tensor = y.mean((2, 3)) * padding
        return out


def test_a_kernel_whose_padding_counts_elsewhere_stays() -> None:
    space = convert(Padded(), X, vary={"*": Kernel(1, 3)})
    assert [decision.name for decision in space.decisions] == ["conv.kernel_size"]
    assert [(each.name, "zeros at its edges" in each.reason) for each in space.fixed][:1] == [
        ("padded.kernel_size", True)
    ]
