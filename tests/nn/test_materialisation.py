import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.errors import SpaceError
from raynas.nn import ModelSpace
from raynas.nn.decision_module import DecisionModule
from raynas.nn.input_choice import SelectInputs
from tests.nn.networks import ARCH, Branch, Net, leaf

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


@pytest.fixture
def space() -> ModelSpace:
    return ModelSpace(Net, input_shape=(1, 6, 6))


class TestBuild:
    def test_gives_the_chosen_network(self, space: ModelSpace) -> None:
        torch.manual_seed(0)
        net = space.build(ARCH)
        assert isinstance(net.block, Branch) and isinstance(net.block.op, nn.Conv2d)
        assert net.block.op.kernel_size == (1, 1)
        assert isinstance(net.layers, nn.Sequential)
        assert [type(block[1]) for block in net.layers] == [nn.ReLU, nn.Tanh]  # type: ignore[index]
        assert isinstance(net.merge, SelectInputs) and net.merge.indices == (0, 2)
        assert isinstance(net.act, nn.Tanh) and isinstance(net.act2, nn.Tanh)
        assert net(torch.zeros(2, 1, 6, 6)).shape == (2, 5)

    def test_leaves_no_trace_but_input_selection(self, space: ModelSpace) -> None:
        for module in space.build(ARCH).modules():
            assert not isinstance(module, DecisionModule)
            assert isinstance(module, SelectInputs) or not type(module).__module__.startswith("raynas")
            assert "Lazy" not in type(module).__name__

    def test_state_dict_is_that_of_a_network_written_by_hand(self, space: ModelSpace) -> None:
        keys = {name.rpartition(".")[0] for name in space.build(ARCH).state_dict()}
        assert keys == {"stem", "block.op", "layers.0.0", "layers.1.0", "width", "head.0", "head.3"}

    def test_refuses_a_model_that_changes_between_calls(self) -> None:
        calls: list[int] = []

        def model() -> nn.Module:
            calls.append(0)
            return nn.Sequential(leaf(), *([leaf()] if len(calls) > 2 else []))

        with pytest.raises(SpaceError, match="choice '1' was not there before"):
            ModelSpace(model, input_shape=(1,)).build(Architecture({"0": "a"}))
