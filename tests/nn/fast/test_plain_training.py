import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from raynas.nn.fast.depthwise import depthwise_conv2d
from raynas.nn.fast.plain_training import fast_depthwise_gradients


def depthwise(kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups=4, bias=False)


def network() -> nn.Module:
    """Depthwise convolutions that gain, others that do not, and a dense one."""
    torch.manual_seed(0)
    gaining = depthwise(5), depthwise(3, dilation=2), depthwise(5, dilation=2)
    return nn.Sequential(*gaining, depthwise(3), depthwise(3, stride=2), nn.Conv2d(4, 4, 3)).double()


@pytest.fixture
def fast_calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the kernels of fast convolutions."""
    shapes = []

    def watched(x: Tensor, weight: Tensor, **geometry: tuple[int, int]) -> Tensor:
        shapes.append(weight.shape[2:])
        return depthwise_conv2d(x, weight, **geometry)

    monkeypatch.setattr("raynas.nn.fast.plain_training.depthwise_conv2d", watched)
    return shapes


def gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    model(x).square().sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_gradients_are_the_same_and_fast_where_that_pays(fast_calls: list[torch.Size]) -> None:
    model, x = network(), torch.randn(2, 4, 9, 10, dtype=torch.float64)
    expected = gradients(model, x)
    assert fast_calls == []
    with fast_depthwise_gradients(model):
        found = gradients(model, x)
    torch.testing.assert_close(found, expected)
    assert [tuple(shape) for shape in fast_calls] == [(5, 5), (3, 3), (5, 5)]


@pytest.mark.parametrize(
    "x", [torch.randn(2, 4, 7, 9, dtype=torch.float64), torch.randn(4, 9, 9, dtype=torch.float64)], ids=["small", "one"]
)
def test_small_images_and_one_without_a_batch_stay_plain(x: Tensor, fast_calls: list[torch.Size]) -> None:
    model = network()
    with fast_depthwise_gradients(model):
        gradients(model, x)
    assert fast_calls == []


def test_predictions_stay_plain(fast_calls: list[torch.Size]) -> None:
    model, x = network(), torch.randn(2, 4, 9, 9, dtype=torch.float64)
    with fast_depthwise_gradients(model), torch.no_grad():
        model(x)
    assert fast_calls == []


def test_a_network_is_as_it_was_afterwards_even_after_an_error() -> None:
    model = network()
    before = [dict(vars(module)) for module in model.modules()]
    with pytest.raises(KeyError), fast_depthwise_gradients(model), fast_depthwise_gradients(model):
        raise KeyError
    assert [vars(module) for module in model.modules()] == before
    with fast_depthwise_gradients(model):
        pass
    assert [vars(module) for module in model.modules()] == before


def test_a_network_in_training_is_copied_and_pickled_with_weights_of_its_own() -> None:
    model, x = network(), torch.randn(2, 4, 9, 9, dtype=torch.float64)
    expected = model(x).detach()
    with fast_depthwise_gradients(model):
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
    for copied in copies:
        torch.testing.assert_close(copied(x), expected)
        assert copied.state_dict().keys() == model.state_dict().keys()
