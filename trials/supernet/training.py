"""SupernetTraining: trains the weights that all networks of a space share, as one trial of Ray Tune."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.space import SearchSpace
from raynas.data.sources import Source
from raynas.errors import SpaceError
from raynas.metrics import METRICS, Metrics
from raynas.metrics.cost import count_params
from raynas.nn import ModelSpace, Supernet
from raynas.oneshot import OneShot, SinglePath
from raynas.seeds import seed_of
from raynas.trials.checkpoint import State
from raynas.trials.runner import TrialRunner
from raynas.trials.scores import checked_scores
from raynas.trials.supernet.parallel import Parallel
from raynas.trials.supernet.trainer import SupernetTrainer, told_by
from raynas.trials.training import Training
from raynas.trials.trial import Trial
from raynas.validate import is_number, require, require_whole


@dataclass(frozen=True, kw_only=True)
class SupernetTraining(Training):
    """Train the weights that all networks of a space share.

    ``accuracy`` and ``loss`` are those of the method's candidates with inherited weights, batch norms recalibrated, on
    the validation split. Methods that learn the architecture on held-out images get half of the training images for
    that; the validation split stays untouched.

    Args:
        method: how, one of ``raynas.oneshot``.
        workers: processes that share each batch, for data-parallel training with Ray Train.
        calibration_batches: training batches that batch norms are recalibrated with.
        clip_norm: largest norm of the gradient of the shared weights; None for no limit.

    Raises:
        ValueError: if a value is out of range.
    """

    method: OneShot = field(default_factory=SinglePath)
    workers: int = 1
    calibration_batches: int = 8
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.method, OneShot), "method must be one of raynas.oneshot", self.method)
        for name in ("workers", "calibration_batches"):
            require_whole(name, getattr(self, name), 1)
        rule = f"batch_size must be a multiple of workers ({self.workers})"
        require(self.batch_size % self.workers == 0, rule, self.batch_size)
        ok = self.clip_norm is None or (is_number(self.clip_norm) and self.clip_norm > 0)
        require(ok, "clip_norm must be a number above 0", self.clip_norm)

    @property
    def resources(self) -> dict[str, float]:
        """What one trainer needs; with several workers the trial only waits for them, and they ask for it."""
        return {"memory": 2**20} if self.workers > 1 else super().resources  # Tune takes no trial that needs nothing

    @property
    def worker_resources(self) -> dict[str, float]:
        """What each worker needs, as Ray Train names it."""
        return {{"cpu": "CPU", "gpu": "GPU"}[name]: n for name, n in super().resources.items()}

    def fitted(self, space: SearchSpace) -> tuple[ModelSpace, Source]:
        """The space at the size that is trained, and the data at the fidelity that is trained with, without its test.

        Raises:
            RaynasError: if data, space and settings do not fit together, or the space has no supernet.
        """
        _, reduced, source = self.at_fidelity(space)
        if not isinstance(reduced, ModelSpace):
            raise SpaceError(f"{space.name} is not read off a model with choices, so its networks cannot share weights")
        return reduced, source

    def runner(  # type: ignore[override]  # settings of a training, of something else than one architecture
        self, space: SearchSpace, metrics: Metrics = ("accuracy",)
    ) -> "TrialRunner[SupernetTrial]":
        """Return what trains the supernet of ``space`` in this process."""
        inner = space.space if isinstance(space, SupernetSpace) else space
        fitted, source = self.fitted(inner)
        with torch.device("meta"), torch.random.fork_rng(devices=[]):  # better refused here than in the trial
            Supernet(fitted, partial_channels=self.method.partial_channels)
        supernets = SupernetSpace(fitted, self.method)
        make = partial(SupernetTrial, networks=fitted, source=source)
        params = dataclasses.replace(METRICS["params"], measure=lambda candidate: supernets.params(candidate.arch))
        runner = TrialRunner(supernets, self, make, [*metrics, params])
        runner.counted = ()
        return runner

    def on_workers(self, space: ModelSpace, source: Source, device: torch.device, **workers: Any) -> SupernetTrainer:
        """A trainer of a fresh supernet; every worker makes the same one."""
        torch.manual_seed(seed_of(self.seed, "supernet weights"))
        supernet = Supernet(space, partial_channels=self.method.partial_channels)
        return SupernetTrainer(supernet, source, self, device=device, **workers)


class SupernetSpace(SearchSpace):
    """The space whose only member is the supernet of another: so training one is a search with a single trial.

    Args:
        space: whose networks share weights.
        method: how the weights are trained.
    """

    def __init__(self, space: SearchSpace, method: OneShot) -> None:
        self.space, self.method = space, method
        self.input_shape = space.input_shape

    @property
    def name(self) -> str:
        """Which supernet."""
        return f"the supernet of {self.space.name}"

    @property
    def fingerprint(self) -> str:
        """That of the space."""
        return self.space.fingerprint

    @property
    def decisions(self) -> Sequence[Decision]:
        """One, about the method, with one option."""
        return (Categorical("method", choices=(type(self.method).__name__,)),)

    def build(self, arch: Architecture) -> nn.Module:
        """Make the supernet."""
        assert isinstance(self.space, ModelSpace)
        return Supernet(self.space, partial_channels=self.method.partial_channels)

    def params(self, arch: Architecture) -> float:
        """Count the parameters of the supernet, without memory for them."""
        with torch.device("meta"):
            return count_params(self.build(arch))


class SupernetTrial(Trial[SupernetTraining]):
    """Trains shared weights, one epoch a step.

    Args:
        space: the supernet.
        settings: how to train.
        networks: the space whose networks share the weights.
        source: the data, at the fidelity of the training; only read.
    """

    def __init__(self, space: SearchSpace, settings: SupernetTraining, *, networks: ModelSpace, source: Source) -> None:
        super().__init__(space, settings)
        self.networks, self.source = networks, source
        self.history: list[dict[str, Any]] = []
        self.told: Mapping[str, Any] = {"ended_because": ""}

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Make the supernet and its trainer."""
        settings = dataclasses.replace(self.settings, **dict[str, Any](hyperparameters))
        self.trainer: Alone | Parallel
        if settings.workers > 1:
            self.trainer = Parallel(settings, self.networks, self.source, self.directory)
        else:
            self.trainer = Alone(settings.on_workers(self.networks, self.source, self.device))

    def advance(self) -> Mapping[str, float]:
        """Train for an epoch, then score the candidates."""
        scores, self.told = self.trainer.run_epoch()
        self.history.append({"epoch": self.epoch + 1, **checked_scores(scores), "derived": self.told["derived"]})
        return scores

    @property
    def finished(self) -> bool:
        """True if the last epoch is done, or the method stops early."""
        return super().finished or bool(self.told["ended_because"])

    def state(self) -> State:
        """Return weights, optimizers, what the method has learned, and the history."""
        return {"learner": self.trainer.state, "history": self.history, "told": self.told}

    def load_state(self, state: State) -> None:
        """Restore all of it."""
        self.trainer.load_state(state["learner"])
        self.history, self.told = list(state["history"]), dict(state["told"])

    @property
    def notes(self) -> Mapping[str, str]:
        """The architecture that the method has derived, as JSON under "derived"; empty if there is none."""
        derived = self.history[-1]["derived"] if self.history else None
        return {"derived": Architecture(derived).to_json() if derived else ""}

    def close(self) -> None:
        """End the workers."""
        if isinstance(trainer := getattr(self, "trainer", None), Parallel):
            trainer.close()


class Alone:
    """A trainer in this process."""

    def __init__(self, trainer: SupernetTrainer) -> None:
        self._trainer = trainer

    def run_epoch(self) -> tuple[dict[str, float], dict[str, Any]]:
        """Train and score; gives the scores, and what the method tells besides."""
        return self._trainer.run_epoch(), told_by(self._trainer)

    @property
    def state(self) -> Mapping[str, Any]:
        """What is needed to go on."""
        return self._trainer.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._trainer.load_state_dict(state)
