"""Tensors that one network takes over from another: exactly what fits, and nothing shared."""

import pytest
import torch
from torch import nn

from raynas.errors import RaynasError
from raynas.nn.morphism.inheritance import inherit

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


def test_whole_partly_and_fresh() -> None:
    source = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "old": nn.Linear(2, 2)})
    target = nn.ModuleDict({"conv": nn.Conv2d(2, 6, 5), "norm": nn.BatchNorm2d(4), "new": nn.Linear(2, 2)})
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    norm = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    report = inherit(target, source)
    assert report.whole == norm
    assert report.partly == ("conv.weight", "conv.bias") and report.fresh == ("new.weight", "new.bias")
    weight = target.get_parameter("conv.weight")
    # The first 4 and 2 channels, in the middle of the kernel of 5; what is around keeps its values.
    assert torch.equal(weight[:4, :, 1:4, 1:4], source.get_parameter("conv.weight")[:, :2])
    around = torch.ones(6, 2, 5, 5, dtype=torch.bool)
    around[:4, :, 1:4, 1:4] = False
    assert torch.equal(weight[around], before["conv.weight"][around])
    assert torch.equal(target.get_parameter("conv.bias")[:4], source.get_parameter("conv.bias"))
    n_copied, n_all = 4 * 2 * 9 + 4 + 4 * 4 + 1, 6 * 2 * 25 + 6 + 4 * 4 + 1 + 6
    assert report.share == pytest.approx(n_copied / n_all)
    assert str(report).startswith("5 tensors inherited whole, 2 partly, 2 fresh (")


def test_a_smaller_target_takes_the_centre() -> None:
    source, target = nn.Conv2d(2, 2, 5), nn.Conv2d(1, 2, 3)
    assert inherit(target, source.state_dict()).partly == ("weight",)
    assert torch.equal(target.weight, source.weight[:, :1, 1:4, 1:4])


def test_only_kernels_are_centred() -> None:
    class Embedded(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(1, 1, n))

    source, target = Embedded(6), Embedded(4)
    inherit(target, source)
    assert torch.equal(target.weight, source.weight[..., :4])


@pytest.mark.parametrize("as_state", [False, True])
def test_nothing_is_shared_with_the_source(as_state: bool) -> None:
    source, target = (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(2))
    kept = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    own = {name: tensor.data_ptr() for name, tensor in target.state_dict().items()}
    report = inherit(target, source.state_dict() if as_state else source)
    assert report.share == 1 and not report.partly and not report.fresh
    assert own == {name: tensor.data_ptr() for name, tensor in target.state_dict().items()}
    with torch.no_grad():
        for tensor in target.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(kept[name], tensor) for name, tensor in source.state_dict().items())


def test_another_number_of_dimensions_does_not_fit() -> None:
    report = inherit(nn.Linear(2, 2), {"weight": torch.zeros(2), "bias": torch.zeros(3)})
    assert (report.fresh, report.partly, report.whole) == (("weight",), ("bias",), ())
    assert report.share == 2 / 6


def test_lazy_layers_have_nothing_to_inherit_into() -> None:
    with pytest.raises(RaynasError, match="'weight' is lazy"):
        inherit(nn.LazyLinear(2), nn.Linear(2, 2))
