"""A small supernet and its training, for tests."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from raynas.core.architecture import Architecture
from raynas.oneshot import Learner, OneShot, Setup
from raynas.oneshot.single_path import SinglePathLearner
from raynas.search_spaces import NASBench201
from raynas.trials import SupernetTraining, TrainedSupernet, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.supernet.trainer import SupernetTrainer
from raynas.trials.supernet.training import LocalTraining, SupernetTrial
from raynas.trials.supernet.writing import write_supernet

SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
CPU = torch.device("cpu")


class Seen(SinglePathLearner):
    """Remembers the held-out labels it is given, and derives an architecture."""

    labels: list[torch.Tensor]

    def update(self, train: Any, valid: Any) -> torch.Tensor:
        self.labels = [*getattr(self, "labels", []), valid[1]]
        return super().update(train, valid)

    @property
    def derived(self) -> Architecture:
        return self.sampled(1, "derived")[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut(OneShot):
    """A method that wants held-out batches; ``stops_after`` epochs it has seen enough."""

    uses_valid = True
    stops_after: int = 100

    def start(self, setup: Setup) -> Learner:
        learner = Seen(setup)
        stops_after = self.stops_after

        def watch(valid: Any) -> dict[str, float]:
            n = sum(len(labels) for _, labels in valid())
            learner.ended_because = "it has seen enough" if learner.epoch + 1 >= stops_after else ""
            return {"n_watched": float(n)}

        learner.watch = watch  # type: ignore[method-assign]
        return learner


def settings(**changes: Any) -> SupernetTraining:
    return SupernetTraining(**{"data": "digits", "data_fraction": 0.25, "epochs": 3, "lr": 0.05, **changes})


def trained(
    given: SupernetTraining, n_epochs: int | None = None, checkpoint: Path | None = None
) -> TrialRunner[SupernetTrial]:
    """What runs a trial, after so many epochs."""
    runner = given.runner(SPACE)
    runner.raises = True
    runner.begin(
        {"arch": {"method": type(given.method).__name__}, **({CHECKPOINT_KEY: checkpoint} if checkpoint else {})}
    )
    for _ in range(n_epochs or given.epochs):
        if runner.step()["done"]:
            break
    return runner


def trainer_of(runner: TrialRunner[SupernetTrial]) -> SupernetTrainer:
    training = runner.trial.trainer
    assert isinstance(training, LocalTraining)
    return training.trainer


def written(folder: Path, **changes: Any) -> TrainedSupernet:
    given = settings(epochs=1, **changes)
    state = trained(given).trial.state()
    folder.mkdir(exist_ok=True)
    return write_supernet(folder, given.fitted(SPACE)[0], given, state)
