"""Layers of several search spaces that PyTorch lacks; they need torch only, so that they can be exported."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


class SqueezeExcite(nn.Module):
    """Channels weighted by a small network of their means (Hu et al., CVPR 2018, arXiv:1709.01507).

    Args:
        channels: number of input and output channels.
        hidden: width of the small network.
        gate: makes the activation behind the small network; ``nn.Hardsigmoid`` as in MobileNetV3 by default.
        activation: makes the activation between its two layers.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        gate: Callable[[], nn.Module] = nn.Hardsigmoid,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)
        self.gate = gate()
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape."""
        means = x.mean((2, 3), keepdim=True)
        weights: Tensor = self.gate(self.excite(self.activation(self.squeeze(means))))
        return x * weights


class Resize(nn.Module):
    """Resizes images: means over areas to shrink, bilinear to grow.

    Args:
        side: height and width of the output, in pixels; a pair of both where they differ.
    """

    def __init__(self, side: int | tuple[int, int]) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to the new height and width."""
        height, width = (self.side, self.side) if isinstance(self.side, int) else self.side
        if x.shape[2:] == (height, width):
            return x
        if height <= x.shape[2] and width <= x.shape[3]:
            return functional.interpolate(x, (height, width), mode="area")
        return functional.interpolate(x, (height, width), mode="bilinear", align_corners=False)
