"""Retraining: trains a found architecture from scratch to the end and tests it."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder
from torch import Tensor

from raynas.core.architecture import Architecture, JsonOptions, Option
from raynas.core.space import SearchSpace
from raynas.data.fit_space import check_network, fit_source, fit_space
from raynas.errors import ContentError, RaynasError
from raynas.files.content import decode_json, read_file
from raynas.files.inside import delete, refuse_links
from raynas.files.replacing import write_whole
from raynas.files.weights import WEIGHTS, write_weights
from raynas.threads import limited_threads
from raynas.trials.checkpoint import CHECKPOINT_KEY, Checkpoint
from raynas.trials.progress import Result
from raynas.trials.runner import REPORTED, TrialRunner
from raynas.trials.training import Training, TrainingTrial
from raynas.trials.trial import Trial

KEPT_CHECKPOINTS = 2
"""Number of checkpoints kept: if a power cut damages the newest, the one before remains."""


class _About(Struct):
    """Schema of ``training.json``: which training a folder belongs to."""

    space: str
    training: str
    arch: JsonOptions


_ABOUT: "Decoder[_About]" = Decoder(_About)


class FinalTraining(TrainingTrial):
    """Trains on everything but the test split, so there is nothing to examine between epochs."""

    def advance(self) -> Mapping[str, float]:
        """Train for an epoch; return "train_loss"."""
        return {"train_loss": self.trainer.train_epoch()}

    def test(self) -> dict[str, float]:
        """Return the scores over the test split."""
        return self.trainer.examine("test")


def retrain(
    space: SearchSpace,
    arch: Mapping[str, Option],
    settings: Training,
    directory: str | Path,
    *,
    hyperparameters: Mapping[str, object] | None = None,
    on_epoch: Callable[[Result], None] | None = None,
) -> dict[str, float]:
    """Train an architecture from scratch on the training and validation splits, and test it once at the end.

    It is trained at full fidelity, whatever the settings: all data at its resolution, the network as ``space`` builds
    it; for a larger network pass ``dataclasses.replace(space, channels=36)``. Each epoch writes a checkpoint, and the
    same call continues from it after a kill, with the same outcome. In the end ``directory`` holds
    ``weights.safetensors``, ``architecture.json`` and ``metrics.json``. Data without a test split is tested on its
    validation split, which is then not trained on.

    Args:
        space: the space of ``arch``.
        arch: the architecture.
        settings: settings of the training; ``epochs`` is its length.
        directory: the folder to write; made if missing.
        hyperparameters: those that the search found for it.
        on_epoch: called after every epoch with its result, with ``training_iteration`` (epochs done), ``train_loss``
            and ``train_seconds``.

    Returns:
        ``test_accuracy``, ``test_loss``, ``train_loss``, ``epochs``, and the metrics that every trial measures.

    Raises:
        RaynasError: if data and space do not fit together, ``directory`` holds another training or cannot be
            written, or the training fails.
        ValueError: if a hyperparameter is unknown or out of range.
    """
    settings = settings.at_full_fidelity.with_hyperparameters(hyperparameters or {})
    source = settings.load_source()
    space = fit_space(space, source)
    source = fit_source(source, space)
    check_network(space, source)
    make = partial(FinalTraining, reduced=space, source=source.for_final_training())
    runner = TrialRunner(space, settings, make, ("latency_ms",), team=settings.team)
    try:
        return _retrain(runner, space.canonical(dict(arch)), settings, Path(directory), on_epoch)
    except OSError as error:
        raise RaynasError(f"cannot write to {directory}: {error.strerror}; what was trained so far is kept") from None
    finally:
        runner.release()


def _retrain(
    runner: TrialRunner[FinalTraining],
    arch: Architecture,
    settings: Training,
    directory: Path,
    on_epoch: Callable[[Result], None] | None,
) -> dict[str, float]:
    _claim(directory, arch, {"space": runner.space.name, "training": settings.description})
    begun = next(checkpoints_of(directory, arch), None)
    runner.begin({"arch": arch.to_config(), **({CHECKPOINT_KEY: str(begun)} if begun else {})})
    while True:
        result = runner.step()
        if result["failed"]:
            write_whole(directory / "error.txt", runner.progress.traceback)
            raise RaynasError(f"training {arch.key} failed in {result['error']}; details in {directory / 'error.txt'}")
        keep_checkpoint(runner, directory)
        if on_epoch:
            on_epoch(result)
        if result["done"]:
            break
    with limited_threads(settings.n_threads), runner.team.calling("test"):
        test = runner.trial.test()
    metrics = {f"test_{name}": value for name, value in test.items()}
    metrics |= {"epochs": runner.progress.epoch, "train_loss": result["train_loss"]}
    metrics |= {name: result[name] for name in sorted({metric.name for metric in runner.costs.metrics} | REPORTED)}
    state = runner.state()
    assert state is not None
    _write_outcome(directory, state["model"], metrics)
    return metrics


def _claim(directory: Path, arch: Architecture, about: Mapping[str, str]) -> None:
    """Write down which training the folder belongs to; refuse a folder of another one."""
    directory.mkdir(parents=True, exist_ok=True)
    refuse_links(directory)
    path = directory / "training.json"
    try:
        held = decode_json(read_file(path), _ABOUT)
    except FileNotFoundError:
        held = None
    except ContentError as error:
        raise RaynasError(f"{path} is damaged ({error}); choose another folder") from None
    if held is not None:
        held["arch"] = Architecture(held["arch"])
        for what, value in {**about, "arch": arch}.items():
            if held[what] != value:
                other = f"{directory} holds the training of another {what}"
                raise RaynasError(f"{other}; choose another folder, or remove it")
    write_whole(path, json.dumps({**about, "arch": arch.to_config()}, indent=2))
    write_whole(directory / "architecture.json", arch.to_json() + "\n")


def _folders(directory: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    return sorted(directory.glob("checkpoint_[0-9]*"), reverse=True)


def checkpoints_of(directory: Path, arch: Architecture) -> Iterator[Path]:
    """Yield the checkpoints of the architecture that can be read, newest first."""
    for folder in _folders(directory):
        try:
            if Checkpoint.read(folder).arch == arch:
                yield folder
        except RaynasError:
            continue


def keep_checkpoint(runner: TrialRunner[Trial[Any]], directory: Path) -> None:
    """Write a checkpoint after an epoch, and delete all but the two newest."""
    runner.save(directory / f"checkpoint_{runner.progress.epoch:06d}")
    for folder in _folders(directory)[KEPT_CHECKPOINTS:]:
        delete(folder)


def _write_outcome(directory: Path, weights: Mapping[str, Tensor], metrics: Mapping[str, float]) -> None:
    write_weights(weights, directory / WEIGHTS)
    write_whole(directory / "metrics.json", json.dumps(dict(metrics), indent=2) + "\n")
