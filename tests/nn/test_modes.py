import pytest
import torch
from torch import nn

from raynas.nn.modes import evaluating, modes_kept


def mixed_modes() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    model[1].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_modes_are_restored_module_by_module() -> None:
    model = mixed_modes()
    with modes_kept(model):
        model.eval()
        model[1].train()
    assert modes(model) == [True, True, False, True]


def test_modes_are_restored_after_an_error() -> None:
    model = mixed_modes()
    with pytest.raises(RuntimeError, match="no network"), modes_kept(model):
        model.eval()
        raise RuntimeError("no network")
    assert modes(model) == [True, True, False, True]


def test_evaluating_disables_gradients_and_dropout() -> None:
    model = mixed_modes()
    x = torch.ones(3, 2)
    with evaluating(model):
        assert modes(model) == [False] * 4
        y = model(x)
    assert not y.requires_grad and torch.equal(y, y[:1].expand(3, 2))
    assert modes(model) == [True, True, False, True] and torch.is_grad_enabled()
