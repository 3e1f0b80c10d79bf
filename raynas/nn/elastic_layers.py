"""The elastic layers: convolution, batch norm, linear, squeeze-excite, and the resolution of images."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import SpaceError
from raynas.nn.elastic import ElasticLayer, Size, Sizes, make_divisible
from raynas.nn.fast.same_convolution import same_conv2d
from raynas.nn.layers import Resize, SqueezeExcite
from raynas.nn.selection import Mixture


class ElasticConv2d(ElasticLayer):
    """A convolution whose output width and kernel may be decisions; padded so that stride 1 keeps height and width.

    Args:
        in_channels: maximum number of input channels.
        out_channels: number of output channels; None for that of the input.
        kernel_size: odd.
        stride: as for ``nn.Conv2d``.
        dilation: as for ``nn.Conv2d``.
        group_width: input channels of a group; 1 for a depthwise convolution, None for a dense one. The number of
            groups follows from the number of input channels.
        bias: True for a bias.
        transform_kernels: True to multiply the centre of a larger kernel with a learned matrix to get a smaller one;
            the matrix is shared by all channels and initially the identity. False to take the centre itself.

    Raises:
        SpaceError: if a kernel is even, or a grouped convolution cannot be split into groups.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | Size | None,
        kernel_size: int | Size = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        group_width: int | None = None,
        bias: bool = False,
        transform_kernels: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels=out_channels or 0, kernel_size=kernel_size)
        self.stride, self.dilation, self.group_width, self.bias = stride, dilation, group_width, bias
        size = self.size_choices.get("kernel_size")
        self.kernels = sorted(
            {size.value(o, in_channels) for o in size.options} if size else {self.fixed["kernel_size"]}
        )
        if any(k % 2 == 0 for k in self.kernels):
            raise SpaceError(f"kernels must be odd, got {self.kernels}")
        self.groups(in_channels, 0)
        self.transform_kernels = transform_kernels

    @property
    def most_out(self) -> int:
        """Maximum number of output channels."""
        return self.largest["out_channels"] or self.n_in

    def groups(self, n_in: int, n_out: int) -> int:
        """Return the number of groups for ``n_in`` input and ``n_out`` output channels.

        Raises:
            SpaceError: if the channels cannot be split into groups.
        """
        groups = n_in // self.group_width if self.group_width else 1
        if self.group_width and (n_in % self.group_width or n_out % groups):
            raise SpaceError(
                f"{n_in} channels cannot be split into groups of {self.group_width}, or {n_out} into as many"
            )
        return groups

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        n_out, kernel = sizes["out_channels"] or n_in, sizes["kernel_size"]
        groups = self.groups(n_in, n_out)
        padding = self.dilation * (kernel // 2)
        return nn.Conv2d(n_in, n_out, kernel, self.stride, padding, self.dilation, groups, self.bias)

    def expand(self, names: Mapping[str, str]) -> None:
        super().expand(names)
        if self.transform_kernels:
            matrices = {f"{large}to{small}": torch.eye(small**2) for small, large in pairwise(self.kernels)}
            self.transforms = nn.ParameterDict(matrices)

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        n_out = sizes["out_channels"] or n_in
        per_group = self.group_width or n_in
        weight, bias = self.shared.weight, self.shared.bias
        tensors = {"weight": self._kernel(weight[:n_out, :per_group], sizes["kernel_size"])}  # type: ignore[index]
        return tensors | ({} if bias is None else {"bias": bias[:n_out]})  # type: ignore[index]

    def _kernel(self, weight: Tensor, kernel: int) -> Tensor:
        """Return the kernels of a size, made step by step from the next larger ones."""
        for small, large in reversed(list(pairwise(self.kernels))):
            if small < kernel:
                break
            edge = (large - small) // 2
            weight = weight[:, :, edge : large - edge, edge : large - edge]
            if self.transform_kernels:
                weight = (weight.flatten(2) @ self.transforms[f"{large}to{small}"]).view_as(weight)
        return weight

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        tensors = dict(self.sliced(x.shape[1], sizes))
        if "kernel_size" in mixtures:
            tensors["weight"] = self._mixed_kernel(x.shape[1], sizes, mixtures["kernel_size"])
        groups = self.groups(x.shape[1], len(tensors["weight"]))
        # A slice of 1x1 kernels would pass for channels-last, and make the convolution reorder all images.
        weight, bias = tensors["weight"].contiguous(), tensors.get("bias")
        y = same_conv2d(x, weight, bias, self.stride, self.dilation, groups)
        if "out_channels" in mixtures:
            y = y * self.mask("out_channels", mixtures["out_channels"], x.shape[1], y.shape[1]).view(1, -1, 1, 1)
        return y

    def outline(self, x: Tensor, sizes: Sizes) -> Tensor:
        # Padding is half the kernel, so only the stride matters.
        height, width = (-(-side // self.stride) for side in x.shape[2:])
        return x.new_empty((x.shape[0], sizes["out_channels"] or x.shape[1], height, width))

    def _mixed_kernel(self, n_in: int, sizes: Sizes, mixture: Mixture) -> Tensor:
        """Return a mixture of kernels of several sizes as one kernel (Stamoulis et al., "Single-Path NAS", 2019)."""
        size, total = self.size_choices["kernel_size"], torch.zeros(())
        for i in mixture.indices:
            kernel = size.value(size.options[i], n_in)
            edge = (sizes["kernel_size"] - kernel) // 2
            weight = self.sliced(n_in, {**sizes, "kernel_size": kernel})["weight"]
            total = total.to(weight) + mixture.weights[i] * functional.pad(weight, [edge] * 4)
        return total


class ElasticBatchNorm2d(ElasticLayer):
    """A batch norm of all input channels.

    A supernet keeps one running mean and variance, which fit no subnet well: see ``recalibrate``.

    Args:
        num_features: maximum number of input channels.
        eps: as for ``nn.BatchNorm2d``.
        momentum: as for ``nn.BatchNorm2d``; None is not possible.
        affine: as for ``nn.BatchNorm2d``.
    """

    shared: nn.BatchNorm2d

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__(num_features)
        self.eps, self.momentum, self.affine = eps, momentum, affine

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        return nn.BatchNorm2d(n_in, self.eps, self.momentum, self.affine)

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        state = {**dict(self.shared.named_parameters()), **dict(self.shared.named_buffers())}
        return {name: tensor[:n_in] if tensor.ndim else tensor for name, tensor in state.items()}

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        shared, n = self.shared, x.shape[1]
        if self.training and shared.num_batches_tracked is not None:
            shared.num_batches_tracked.add_(1)
        tensors = (shared.running_mean, shared.running_var, shared.weight, shared.bias)
        mean, variance, weight, bias = (None if tensor is None else tensor[:n] for tensor in tensors)
        return functional.batch_norm(x, mean, variance, weight, bias, self.training, self.momentum, self.eps)


class ElasticLinear(ElasticLayer):
    """A linear layer of all input features, whose width may be a decision.

    Args:
        in_features: maximum number of input features.
        out_features: number of output features.
        bias: True for a bias.
    """

    shared: nn.Linear

    def __init__(self, in_features: int, out_features: int | Size, bias: bool = True) -> None:
        super().__init__(in_features, out_features=out_features)
        self.bias = bias

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        return nn.Linear(n_in, sizes["out_features"], self.bias)

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        n_out = sizes["out_features"]
        tensors = {"weight": self.shared.weight[:n_out, :n_in]}
        return tensors | ({"bias": self.shared.bias[:n_out]} if self.bias else {})

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        weights = self.sliced(x.shape[-1], sizes)
        y = functional.linear(x, weights["weight"], weights.get("bias"))
        if "out_features" in mixtures:
            y = y * self.mask("out_features", mixtures["out_features"], x.shape[-1], y.shape[-1])
        return y

    def outline(self, x: Tensor, sizes: Sizes) -> Tensor:
        return x.new_empty((*x.shape[:-1], sizes["out_features"]))

    def width_of(self, x: Tensor) -> int:
        return x.shape[-1]


class ElasticSqueezeExcite(ElasticLayer):
    """``SqueezeExcite`` of all input channels.

    Args:
        channels: maximum number of input channels.
        reduction: the small network has 1/reduction of the input channels, made divisible by ``divisor``.
        divisor: of the width of the small network.
        gate: as for ``SqueezeExcite``.
    """

    shared: SqueezeExcite

    def __init__(
        self, channels: int, reduction: int = 4, divisor: int = 8, gate: Callable[[], nn.Module] = nn.Hardsigmoid
    ) -> None:
        super().__init__(channels)
        self.reduction, self.divisor, self.gate = reduction, divisor, gate

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        return SqueezeExcite(n_in, self._hidden(n_in), self.gate)

    def _hidden(self, n_in: int) -> int:
        return make_divisible(n_in / self.reduction, self.divisor)

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        hidden, squeeze, excite = self._hidden(n_in), self.shared.squeeze, self.shared.excite
        return {
            "squeeze.weight": squeeze.weight[:hidden, :n_in],
            "squeeze.bias": squeeze.bias[:hidden],  # type: ignore[index]
            "excite.weight": excite.weight[:n_in, :hidden],
            "excite.bias": excite.bias[:n_in],  # type: ignore[index]
        }

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        part = self.sliced(x.shape[1], sizes)
        means = x.mean((2, 3), keepdim=True)
        hidden = functional.conv2d(means, part["squeeze.weight"], part["squeeze.bias"]).relu()
        weights: Tensor = self.shared.gate(functional.conv2d(hidden, part["excite.weight"], part["excite.bias"]))
        return x * weights


class ElasticResize(ElasticLayer):
    """Resizes images to a side that may be a decision: elastic resolution.

    Args:
        channels: of the images.
        side: height and width of the output, in pixels.
    """

    def __init__(self, channels: int, side: int | Size) -> None:
        super().__init__(channels, side=side)

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        return Resize(sizes["side"])

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        return {}

    def outline(self, x: Tensor, sizes: Sizes) -> Tensor:
        return x.new_empty((*x.shape[:2], sizes["side"], sizes["side"]))

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        if mixtures:
            raise SpaceError("resolutions cannot be mixed, only chosen")
        return Resize(sizes["side"]).forward(x)
