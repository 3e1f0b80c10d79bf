import gc
import weakref

import pytest
import torch
from ray import cloudpickle
from torch import nn

from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn import Choice, ModelSpace
from raynas.testing import SpaceContract
from tests.nn.networks import ARCH, Net, leaf

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


class TestContract(SpaceContract):
    has_supernet = False  # Lazy layers follow the choice of widths.

    @pytest.fixture
    def space(self) -> SearchSpace:
        return ModelSpace(Net, input_shape=(1, 6, 6))


@pytest.fixture
def space() -> ModelSpace:
    return ModelSpace(Net, input_shape=(1, 6, 6))


class TestDiscovery:
    def test_happens_once(self) -> None:
        calls = []
        space = ModelSpace(lambda: calls.append(0) or nn.Sequential(leaf()), input_shape=(1,))  # type: ignore[func-returns-value]
        for _ in range(3):
            assert space.decisions
        before = len(calls)
        assert space.decisions and space.size and len(calls) == before

    def test_refuses_a_model_for_a_factory(self) -> None:
        with pytest.raises(SpaceError, match=r"needs a factory .* got Linear"):
            ModelSpace(nn.Linear(1, 1), input_shape=(1,))


class TestBuild:
    def test_a_discarded_network_is_freed_at_once(self, space: ModelSpace) -> None:
        gc.disable()
        try:
            net = weakref.ref(space.build({**ARCH, "block": "skip"}))
            assert net() is None
        finally:
            gc.enable()


def test_check_names_the_option_that_breaks() -> None:
    def model() -> nn.Module:
        return nn.Sequential(
            Choice({"good": lambda: nn.Linear(4, 4), "bad": lambda: nn.Linear(4, 3)}, label="first"),
            Choice({"x": nn.ReLU, "y": nn.Tanh}, label="second"),
            nn.Linear(4, 2),
        )

    with pytest.raises(SpaceError, match="options that only these have: first='bad';"):
        ModelSpace(model, input_shape=(4,)).check()


def test_name_is_the_models() -> None:
    assert ModelSpace(Net, input_shape=(1, 6, 6)).name == "Net"
    assert ModelSpace(lambda: Net(), input_shape=(1, 6, 6)).name == "ModelSpace"


def test_a_local_model_travels_to_another_process() -> None:
    width = 3

    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = Choice({"linear": lambda: nn.Linear(2, width), "relu": nn.ReLU})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.op(x)
            return out

    space = cloudpickle.loads(cloudpickle.dumps(ModelSpace(Local, input_shape=(2,))))
    assert space.build({"op": "linear"})(torch.zeros(1, 2)).shape == (1, width)
