"""Models are left exactly as they were."""

import pytest
import torch
from torch import Tensor, nn

from raynas.nn.stand_ins import attributes_kept, device_of, is_bare, without_values


class Shared(nn.Module):
    """Has a part at two places, tied weights, a tensor that is no buffer, and makes a layer when it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.left = self.right = nn.BatchNorm1d(3)
        self.into, self.out = nn.Linear(3, 4, bias=False), nn.Linear(4, 3, bias=False)
        self.out.weight = nn.Parameter(self.into.weight.T)
        self.again = nn.Linear(3, 4, bias=False)
        self.again.weight = self.into.weight
        self.mask, self.n_calls = torch.ones(3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.n_calls += 1
        self.late = nn.Linear(3, 3, device=x.device)
        x = self.right(self.left(x)) * self.mask
        out: Tensor = self.late(self.out(self.into(x) + self.again(x)))
        return out


def look(model: nn.Module) -> list[object]:
    """Return the identity of everything in a model."""
    return [
        (name, [(key, id(value)) for key, value in vars(module).items()], [*map(id, module._parameters.values())])
        for name, module in model.named_modules(remove_duplicate=False)
    ]


def test_everything_is_as_before() -> None:
    model = Shared()
    before, values = look(model), [parameter.clone() for parameter in model.parameters()]
    with without_values(model):
        assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers(), model.mask])
        assert model.again.weight is model.into.weight is not model.out.weight, "tied as before"
        assert isinstance(model.into.weight, nn.Parameter) and model.into.weight.requires_grad
        assert model(torch.ones(2, 3, device="meta")).shape == (2, 3)
    assert look(model) == before
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), values, strict=True))
    assert model(torch.ones(2, 3)).device.type == "cpu"


def test_everything_is_as_before_an_error() -> None:
    model = Shared()
    before = look(model)
    with pytest.raises(RuntimeError), without_values(model):
        model(torch.ones(2, 7, device="meta"))
    with pytest.raises(KeyError), attributes_kept(model):
        model(torch.ones(2, 3))
        raise KeyError
    assert look(model) == before


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_layers_that_keep_their_weights_in_a_list(kind: type[nn.Module]) -> None:
    model = kind(3, 4)
    with without_values(model):
        assert model(torch.ones(2, 5, 3, device="meta"))[0].is_meta
    assert model(torch.ones(2, 5, 3))[0].isfinite().all()


def test_whether_a_model_has_values() -> None:
    assert is_bare(nn.Linear(2, 2, device="meta")) and not is_bare(nn.Linear(2, 2)) and not is_bare(nn.Identity())
    assert device_of(nn.Linear(2, 2, device="meta")).type == "meta" and device_of(nn.Identity()).type == "cpu"
