"""A training function of the user's own, and the network that it trained back."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from torch import Tensor, nn

import raynas
from raynas import Choice, ModelSpace, RaynasError
from raynas.strategies import RandomSearch


class Net(nn.Module):
    """Tells two blobs apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Choice({f"width{n}": partial(nn.Linear, 2, n) for n in (4, 8, 16, 32)})
        self.activation = Choice({"relu": nn.ReLU, "tanh": nn.Tanh})
        self.head = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.body(x)))  # type: ignore[no-any-return]


def blobs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    return torch.randn((200, 2), generator=generator) + 3 * (2 * labels[:, None] - 1), labels


def accuracy(model: nn.Module) -> float:
    points, labels = blobs()
    with torch.no_grad():
        return float((model(points).argmax(1) == labels).float().mean())


def train(model: nn.Module, config: Mapping[str, Any], state: dict[str, Any]) -> Iterator[float]:
    points, labels = blobs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()
        state["losses"] = [*state.get("losses", []), epoch]
        yield accuracy(model)


def test_the_network_comes_back_as_it_was_scored(ray_cluster: None, tmp_path: Path) -> None:
    space = ModelSpace(Net, input_shape=(2,))
    result = raynas.search(
        space,
        train,
        RandomSearch(),
        num_samples=6,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="blobs"),
    )
    best = result.best()
    model = result.best_model()
    assert accuracy(model) == pytest.approx(best.metrics["accuracy"])
    assert not torch.equal(next(model.parameters()), next(space.build(best.arch).parameters())), (
        "it is no fresh network"
    )
    assert result.saved_state()["state"] == {"losses": [0, 1]}
    with_weights = {path.parent.name for path in (tmp_path / "blobs").glob("*/checkpoint_*")}
    assert best.trial in with_weights and len(with_weights) == 3
    (without, *_) = (e for e in result.evaluations if e.trial not in with_weights)
    with pytest.raises(RaynasError, match=rf"no weights of trial {without.trial}.*the 3 best trials"):
        result.trained_model(without)
