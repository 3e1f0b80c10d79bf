"""A LightningModule as a trial: Lightning trains each network, and raynas hears of it after every epoch.

python scripts/examples/lightning_module.py --epochs 20 --trials 30
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import CLI
from ray import tune
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

import raynas
from raynas import Choice, ModelSpace
from raynas.strategies import RandomSearch
from raynas.strategies.schedulers.asha import Asha
from raynas.trials import Function

QUIET: dict[str, Any] = dict.fromkeys(
    ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
)


def network() -> nn.Module:
    wide = lambda: nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))  # noqa: E731
    body = Choice({"linear": lambda: nn.Linear(64, 64), "wide": wide})
    return nn.Sequential(body, Choice({"relu": nn.ReLU, "tanh": nn.Tanh}), nn.Linear(64, 10))


class Classifier(lightning.LightningModule):
    """Trains any network; write yours as you would without a search."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        return cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], step: int) -> None:
        self.log("accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def train(model: nn.Module, config: dict[str, Any], state: dict[str, Any], *, epochs: int) -> Iterator[float]:
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    train_data, valid_data = random_split(data, [0.8, 0.2], torch.Generator().manual_seed(0))
    module, last = Classifier(model), Path("last.ckpt").resolve()
    if state:  # the trial continues after a kill
        torch.save(state["lightning"], last)
    for epoch in range(state.get("epoch", 0), epochs):
        trainer = lightning.Trainer(max_epochs=epoch + 1, **QUIET)
        loaders = DataLoader(train_data, 64, shuffle=True), DataLoader(valid_data, 360)
        trainer.fit(module, *loaders, ckpt_path=last if epoch else None)
        trainer.save_checkpoint(last)
        state.update(epoch=epoch + 1, lightning=torch.load(last, weights_only=False))
        yield float(trainer.callback_metrics["accuracy"])


def main(epochs: int = 20, trials: int = 30, results: str = "results/examples") -> None:
    found = raynas.search(
        ModelSpace(network, input_shape=(64,)),
        Function(fn=partial(train, epochs=epochs), epochs=epochs),
        RandomSearch(early_stopping=Asha()),
        num_samples=trials,
        run_config=tune.RunConfig(name="lightning", storage_path=str(Path(results).resolve())),
    )
    print(f"best of {len(found.evaluations)}: {found.best().arch}, accuracy {found.best().metrics['accuracy']:.3f}")


if __name__ == "__main__":
    CLI(main)
