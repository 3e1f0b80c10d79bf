"""Quick copies must be what ``copy.deepcopy`` makes, whatever modules hold besides their parameters."""

import copy
from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from raynas.metrics.zero_cost.copies import channels_last, copied


class Referring(nn.Module):
    """Holds another of its modules, by name and in containers, a tied weight, tensors and settings."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.again = self.first
        self.norm = nn.BatchNorm2d(4)
        self.others: list[Any] = [self.first, {"norm": self.norm}]
        self.tied = nn.Conv2d(3, 4, 3)
        self.tied.weight = self.first.weight
        self.settings: Any = OrderedDict(sizes=(1, 2), names={"a", "b"}, nested={"x": [1, 2]})
        self.constant = torch.arange(3)
        self.register_buffer("hidden", torch.ones(2), persistent=False)
        self.run = partial(self.norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.run(self.others[0](x) + self.tied(x))
        return out


class Particular(nn.Linear):
    """Copies itself in a way of its own."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Particular":
        clone = Particular(self.in_features, self.out_features)
        clone.load_state_dict(self.state_dict())
        memo[id(self)] = clone
        return clone


def modules_of(model: Referring) -> list[nn.Module]:
    return [model.first, model.again, model.norm, model.others[0], model.others[1]["norm"], model.run.func]


def test_references_lead_into_the_copy() -> None:
    model = Referring()
    clone = copied(model)
    assert isinstance(clone, Referring)
    mine, theirs = modules_of(model), modules_of(clone)
    assert [mine.index(m) for m in mine] == [theirs.index(m) for m in theirs]
    assert not set(mine) & set(theirs)
    assert clone.tied.weight is clone.first.weight and clone.tied.bias is not clone.first.bias
    clone.settings["nested"]["x"].append(3)
    clone.settings["names"].add("c")
    clone.constant += 1
    assert model.settings == OrderedDict(sizes=(1, 2), names={"a", "b"}, nested={"x": [1, 2]})
    assert model.constant.tolist() == [0, 1, 2]
    assert clone.state_dict().keys() == model.state_dict().keys()


def test_a_copy_computes_the_same_and_changes_nothing() -> None:
    torch.manual_seed(0)
    model, x = Referring(), torch.randn(2, 3, 5, 5)
    model(x).sum().backward()
    model.first.get_parameter("bias").requires_grad_(False)
    before, gradient = copy.deepcopy(model.state_dict()), model.first.weight.grad
    clone, expected = copied(model), copy.deepcopy(model)
    assert clone.first.weight.grad is None and not clone.first.bias.requires_grad  # type: ignore[union-attr]
    torch.testing.assert_close(clone(x), expected(x))
    with torch.no_grad():
        for parameter in clone.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.first.weight.grad is gradient


def test_hooks_parametrisations_and_classes_that_copy_themselves() -> None:
    seen: list[int] = []
    model = nn.Sequential(weight_norm(nn.Linear(4, 4)), Particular(4, 4))
    model[1].register_forward_pre_hook(lambda module, args: seen.append(id(module)))
    clone, x = copied(model), torch.randn(2, 4)
    torch.testing.assert_close(clone(x), copy.deepcopy(model)(x))
    assert isinstance(clone.get_submodule("1"), Particular)
    first: Any = clone.get_submodule("0")
    first.parametrizations.weight.original0.data.zero_()
    assert not torch.equal(clone(x), model(x))


def test_images_of_one_channel_have_the_strides_of_their_order() -> None:
    assert channels_last(torch.zeros(2, 1, 4, 4)).stride() == (16, 1, 4, 1)
    clone = copied(nn.Conv2d(3, 4, 3))
    assert isinstance(clone, nn.Conv2d) and clone.weight.is_contiguous(memory_format=torch.channels_last)
