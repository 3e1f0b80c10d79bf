"""Ray Data as the input of a search: preprocessed once on the whole cluster, read by every trial from the object store.

python scripts/examples/ray_data.py --epochs 20 --trials 30
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray.data
import torch
from jsonargparse import CLI
from ray import tune
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import raynas
from raynas import Choice, ModelSpace
from raynas.strategies import RandomSearch
from raynas.strategies.schedulers.asha import Asha
from raynas.trials import Function


def network() -> nn.Module:
    wide = lambda: nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))  # noqa: E731
    body = Choice({"linear": lambda: nn.Linear(64, 64), "wide": wide})
    return nn.Sequential(body, Choice({"relu": nn.ReLU, "tanh": nn.Tanh}), nn.Linear(64, 10))


def scaled(batch: Any) -> Any:
    return {**batch, "x": batch["x"].astype(np.float32) / 16}


def train(model: nn.Module, config: dict[str, Any], *, data: dict[str, Any], epochs: int) -> Iterator[float]:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(epochs):
        for batch in data["train"].iter_torch_batches(
            batch_size=64, local_shuffle_buffer_size=1000, local_shuffle_seed=epoch
        ):
            loss = cross_entropy(model(batch["x"]), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        hits = [model(batch["x"]).argmax(1) == batch["y"] for batch in data["valid"].iter_torch_batches(batch_size=256)]
        yield float(torch.cat(hits).float().mean())


def main(epochs: int = 20, trials: int = 30, results: str = "results/examples") -> None:
    images, labels = load_digits(return_X_y=True)
    rows = ray.data.from_items([{"x": x, "y": y} for x, y in zip(images, labels, strict=True)])
    # Trials use all CPUs: what is left to do then, nobody would do.
    train_rows, valid_rows = rows.map_batches(scaled).train_test_split(0.2, shuffle=True, seed=0)
    data = {"train": train_rows.materialize(), "valid": valid_rows.materialize()}
    found = raynas.search(
        ModelSpace(network, input_shape=(64,)),
        Function(fn=partial(train, data=data, epochs=epochs), epochs=epochs),
        RandomSearch(early_stopping=Asha()),
        num_samples=trials,
        run_config=tune.RunConfig(name="ray-data", storage_path=str(Path(results).resolve())),
    )
    print(f"best of {len(found.evaluations)}: {found.best().arch}, accuracy {found.best().metrics['accuracy']:.3f}")


if __name__ == "__main__":
    CLI(main)
