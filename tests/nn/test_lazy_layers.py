import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.errors import SpaceError
from raynas.nn import Choice, ModelSpace
from tests.nn.networks import ARCH, Net, leaf

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


@pytest.fixture
def space() -> ModelSpace:
    return ModelSpace(Net, input_shape=(1, 6, 6))


class TestBuild:
    @pytest.mark.parametrize(("width", "expected"), [("w4", 4), ("w8", 8)])
    def test_lazy_layers_take_the_width_that_reaches_them(self, space: ModelSpace, width: str, expected: int) -> None:
        for device in ("cpu", "meta"):
            with torch.device(device):
                net = space.build({**ARCH, "width": width})
            shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
            assert shapes["width.weight"] == (expected, 8, 1, 1)
            assert shapes["head.0.running_mean"] == (expected,)
            assert shapes["head.3.weight"] == (5, expected)

    def test_finding_widths_leaves_the_network_in_training_mode(self, space: ModelSpace) -> None:
        net = space.build(ARCH)
        assert all(module.training for module in net.modules())
        assert net.get_buffer("head.0.num_batches_tracked").item() == 0

    def test_says_when_widths_cannot_be_found(self) -> None:
        def model() -> nn.Module:
            return nn.Sequential(Choice({"a": lambda: nn.Linear(3, 2), "b": nn.ReLU}), nn.LazyLinear(1))

        space = ModelSpace(model, input_shape=(7,))
        assert space.build(Architecture({"0": "b"}))[1].in_features == 7  # type: ignore[index]
        with pytest.raises(SpaceError, match=r"widths of lazy layers failed on one example of float32 \(7,\)"):
            space.build(Architecture({"0": "a"}))

    def test_says_which_lazy_layer_is_never_reached(self) -> None:
        class Unused(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.used = leaf()
                self.spare = nn.LazyLinear(1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.used(x)
                return out

        with pytest.raises(SpaceError, match="Unused: the forward pass never reaches lazy layer 'spare'"):
            ModelSpace(Unused, input_shape=(1,)).build(Architecture({"used": "a"}))
