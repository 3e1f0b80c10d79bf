"""Skip connections, recognised by their modules."""

from torch import nn

from raynas.oneshot.differentiable.skips import is_skip


def test_a_skip_is_known_by_what_it_is() -> None:
    from raynas.nn.operations import average_pool, factorized_reduce, relu_conv_bn

    class Mine(nn.Module):
        is_skip = True

    assert is_skip(nn.Identity()) and is_skip(factorized_reduce(4, 4)) and is_skip(Mine())
    assert is_skip(nn.Sequential(nn.Identity(), nn.BatchNorm2d(4)))
    assert not any(map(is_skip, (nn.ReLU(), nn.Sequential(nn.ReLU()), relu_conv_bn(4, 4, 1), average_pool(3))))
    assert not is_skip(nn.Sequential())
