"""Recovery: members of a mined space, trained further from the weights that they inherit."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder
from torch import nn

from raynas.core.architecture import Architecture, Config, JsonOptions
from raynas.core.evaluation import Evaluation, metrics_of
from raynas.core.outcome import Result
from raynas.core.space import SearchSpace
from raynas.errors import ContentError, RaynasError
from raynas.files.content import decode_json, read_file
from raynas.files.inside import delete, refuse_links
from raynas.files.replacing import write_whole
from raynas.files.weights import WEIGHTS, read_weights, write_weights
from raynas.metrics import Metrics
from raynas.nn.batch_statistics import is_recalibrated, recalibrate
from raynas.run.actor_pool import ActorPool
from raynas.trials import Distillation, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.distillation import DistillationTrial
from raynas.trials.retrain import checkpoints_of, keep_checkpoint
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.weights import with_weights

RECOVERED = "recovered.json"
"""File that makes the folder of a member complete."""

CALIBRATION_BATCHES = 8
"""Number of training batches that norms take their statistics from before the first epoch."""


@dataclass(frozen=True, kw_only=True)
class Recovery(Distillation):
    """Distillation of members whose batch norms have statistics over all members, as a supernet leaves them."""

    @classmethod
    def of(cls, settings: Distillation, teacher: nn.Module) -> "Recovery":
        """Return the settings of a distillation as those of a recovery.

        Args:
            settings: the distillation.
            teacher: the model that teaches where the settings name none.
        """
        given = {f.name: getattr(settings, f.name) for f in fields(Distillation)}
        return cls(**{**given, "teacher": teacher if settings.teacher is None else settings.teacher})

    @property
    def trial_type(self) -> type[DistillationTrial]:
        """The class of the trials."""
        return RecoveryTrial


class RecoveryTrial(DistillationTrial):
    """Trains one member; its norms begin with the statistics that its activations have."""

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Build the network and its optimizer, and recalibrate."""
        super().start(arch, hyperparameters)
        if is_recalibrated(self.trainer.model):
            inputs = calibration_inputs(self.source, self.settings, CALIBRATION_BATCHES, self.device)
            recalibrate(self.trainer.model, inputs())


@dataclass(frozen=True)
class Recovered:
    """A member after further training.

    Args:
        evaluation: its scores then.
        inherited: its scores with inherited weights.
        on_front: True if it was chosen from the front of the inherited scores, False if from all others.
        folder: holds its weights.
    """

    evaluation: Evaluation
    inherited: Evaluation
    on_front: bool
    folder: Path

    @property
    def arch(self) -> Architecture:
        """The member."""
        return self.evaluation.arch


class _Stored(Struct):
    """Schema of ``recovered.json``."""

    arch: JsonOptions
    epochs: Annotated[int, Meta(ge=0, le=10**9)]
    metrics: dict[str, float]


_STORED: "Decoder[_Stored]" = Decoder(_Stored)


@dataclass(frozen=True)
class Recoverer:
    """Trains members, each in a folder that a killed training continues from.

    Args:
        runner: trains.
        folder: holds a folder for each member.
    """

    runner: TrialRunner[DistillationTrial]
    folder: Path

    def run(self, config: Config) -> Result:
        """Train the member in a config to the end, and write its weights and scores; raises nothing."""
        arch = self.runner.space.from_config(config)
        home = self.folder / arch.key
        begun = next(checkpoints_of(home, arch), None)
        self.runner.begin({**config, **({CHECKPOINT_KEY: str(begun)} if begun else {})})
        while True:
            result = self.runner.step()
            if result["failed"]:
                return result
            if result["done"]:
                break
            keep_checkpoint(self.runner, home)
        try:
            self._write(home, arch, result)
        except OSError as error:
            return {**result, "failed": 1, "error": f"cannot write to {home}: {error.strerror}"}
        self.runner.release()
        return result

    def _write(self, home: Path, arch: Architecture, result: Result) -> None:
        home.mkdir(parents=True, exist_ok=True)
        write_weights(self.runner.trial.trainer.model.state_dict(), home / WEIGHTS)
        stored = {"arch": arch.to_config(), "epochs": self.runner.progress.epoch, "metrics": metrics_of(result)}
        write_whole(home / RECOVERED, json.dumps(stored, indent=1) + "\n")
        for checkpoint in home.glob("checkpoint_[0-9]*"):
            delete(checkpoint)


def recovered_in(folder: Path, arch: Architecture) -> Evaluation | None:
    """Return the scores of a member that was trained to the end; None if it was not.

    Raises:
        RaynasError: if its file is damaged.
    """
    path = folder / arch.key / RECOVERED
    try:
        stored: dict[str, Any] = decode_json(read_file(path), _STORED)
    except FileNotFoundError:
        return None
    except ContentError as error:
        raise RaynasError(f"{path} is damaged ({error}); remove {path.parent} to train it again") from None
    if Architecture(stored["arch"]) != arch:
        raise RaynasError(f"{path} is of another member; remove {path.parent} to train this one")
    return Evaluation(arch, stored["metrics"], stored["epochs"], "finished", arch.key)


def folder_of(path: Path, settings: Recovery, digest: str) -> Path:
    """Return the folder of all recoveries with these settings, from the weights that a digest names."""
    about = hashlib.sha256(f"{digest} {settings.description}".encode()).hexdigest()[:8]
    return path / f"3-recovered-{about}"


def recover(
    space: SearchSpace,
    archs: Sequence[Architecture],
    settings: Recovery,
    folder: Path,
    *,
    metrics: Metrics,
    workers: int | None = None,
) -> Iterator[tuple[Evaluation, bool]]:
    """Train members from the weights that a space builds them with, on Ray's actors; finished ones are read.

    Args:
        space: the space.
        archs: the members.
        settings: of the training.
        folder: holds a folder for each member.
        metrics: metrics that every evaluation must hold, or their names.
        workers: largest number of actors; None for as many as the cluster has room for.

    Yields:
        The evaluation of each, those that were finished before first, and True if it was trained in this call. One
        that failed says so.
    """
    refuse_links(folder)
    known = {arch: recovered_in(folder, arch) for arch in archs}
    missing = [arch for arch in dict.fromkeys(archs) if known[arch] is None]
    yield from ((found, False) for arch in archs if (found := known[arch]) is not None)
    if not missing:
        return
    scorer = Recoverer(settings.runner(space, metrics), folder)
    with ActorPool(scorer, settings.resources, workers) as pool:
        for arch, result in zip(missing, pool.results([space.to_config(arch) for arch in missing]), strict=True):
            if result["failed"]:
                yield Evaluation(arch, {}, 0, "failed", arch.key, str(result["error"])), True
            elif (found := recovered_in(folder, arch)) is not None:
                yield found, True
            else:
                raise RaynasError(f"{folder} does not hold what an actor wrote: it must be seen by all nodes")


def network_in(folder: Path, space: SearchSpace, arch: Architecture) -> nn.Module:
    """Return a recovered member, in eval mode.

    Raises:
        RaynasError: if it has no weights there.
    """
    return with_weights(space, arch, read_weights(folder / arch.key / WEIGHTS))


def shorter(settings: Distillation) -> Distillation:
    """Return the settings of a recovery by default: a quarter of the epochs."""
    epochs = -(-settings.epochs // 4)
    return replace(settings, epochs=epochs, warmup_epochs=min(settings.warmup_epochs, epochs / 4))
