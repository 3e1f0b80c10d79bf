import torch
from torch import nn

from raynas.nn.layers import Resize, SqueezeExcite


def test_squeeze_excite_weighs_channels_by_a_network_of_their_means() -> None:
    torch.manual_seed(0)
    layer = SqueezeExcite(4, 2, nn.Sigmoid)
    x = torch.randn(3, 4, 5, 5)
    hidden = nn.functional.linear(x.mean((2, 3)), layer.squeeze.weight[..., 0, 0], layer.squeeze.bias)
    weights = nn.functional.linear(hidden.relu(), layer.excite.weight[..., 0, 0], layer.excite.bias)
    torch.testing.assert_close(layer(x), x * weights.sigmoid()[..., None, None])


def test_resize_takes_means_of_areas_or_interpolates() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert Resize(4)(x) is x
    torch.testing.assert_close(Resize(2)(x), nn.functional.avg_pool2d(x, 2))
    assert Resize(6)(x).shape == (1, 1, 6, 6)
    assert Resize(6)(x[:, :, :2]).shape == (1, 1, 6, 6)
