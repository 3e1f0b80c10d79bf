"""Subnet: scores an architecture with weights inherited from a trained supernet (Guo et al., 2020, section 3.3)."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Inputs
from raynas.core.space import SearchSpace
from raynas.data.batches import Batches
from raynas.data.fit_space import fit_source, fit_space
from raynas.data.sources import Source
from raynas.errors import RaynasError
from raynas.metrics import Metrics
from raynas.nn import ModelSpace, Supernet
from raynas.nn.batch_statistics import recalibrate
from raynas.trials.checkpoint import State
from raynas.trials.data_batch import BATCH_SIZE, batch_for, first_batch
from raynas.trials.data_settings import DataSettings
from raynas.trials.progress import Result
from raynas.trials.runner import TrialRunner
from raynas.trials.settings import refuse_all
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.supernet.shared_weights import Arrays, supernet_on
from raynas.trials.supernet.trained import ABOUT, TrainedSupernet, read_about
from raynas.trials.task import Classification
from raynas.trials.training import Training
from raynas.trials.trial import Trial
from raynas.validate import require, require_whole


@dataclass(frozen=True, kw_only=True)
class Subnet(DataSettings):
    """Score each architecture with weights inherited from a trained supernet, without any training.

    Its batch norms are recalibrated on training images; ``accuracy`` and ``loss`` are those of the validation split
    that the supernet's training left untouched.

    Args:
        supernet: the folder of ``raynas.train_supernet``, or what it returned.
        data: the supernet's data, if it has moved since the training, or is files or code of yours and ``supernet`` is
            a folder: what a folder says of those is not believed.
        data_dir: folder of downloads, likewise.
        calibration_batches: number of batches of training images that batch norms are recalibrated with.
        batch_size: number of images in each of these.
        bulk: number of architectures proposed at a time, for a few long-lived actors; 0 for a Tune trial each.

    Raises:
        ValueError: if a value is out of range.
    """

    supernet: str | TrainedSupernet
    data: str | None = None
    data_dir: str | None = None
    calibration_batches: int = 8
    batch_size: int = 64
    bulk: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.supernet, str | os.PathLike), "supernet must be a folder", self.supernet)
        for name, value in getattr(self.supernet, "named", {}).items():
            if getattr(self, name) is None and _is_own(name, value):
                object.__setattr__(self, name, value)
        # Only the path travels: the weights are in the object store, once per node.
        object.__setattr__(self, "supernet", str(Path(os.fspath(self.supernet)).expanduser().resolve()))
        for name in ("calibration_batches", "batch_size"):
            require_whole(name, getattr(self, name), 1)
        require_whole("bulk", self.bulk, 0)

    @property
    def bulk_size(self) -> int:
        return self.bulk

    @property
    def description(self) -> str:
        """These settings in one line; the weights are named by their digest, not by their folder."""
        where = f"supernet={self.supernet!r}"
        weights = f"supernet={read_about(Path(str(self.supernet)))['digest']!r}"
        return super().description.replace(where, weights)

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse all: nothing is trained.

        Raises:
            UnknownNameError: if there is any.
        """
        refuse_all("hyperparameter of subnets, which are not trained:", names)

    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> "TrialRunner[SubnetTrial]":
        """Return what scores architectures of ``space`` in this process; weights and data are read once."""
        space = space.architecture_space
        trained = TrainedSupernet.load(str(self.supernet), space)
        if trained.about["partial_channels"] > 1:
            raise RaynasError(f"{trained.path} was trained with partial channels, which only derives an architecture")
        training = self.data_settings()
        source = training.load_source()
        space = fit_space(space, source)
        source = fit_source(source, space)
        batch = batch_for(metrics, partial(first_batch, training, source, BATCH_SIZE, self.seed))
        source = source.without_test().reduced(training.data_fraction, training.resolution)
        shared = SharedSupernet(self, trained, training, source)
        return TrialRunner(space, self, partial(SubnetTrial, shared=shared), metrics, batch=batch)

    def trained_model(self, space: SearchSpace, arch: Architecture, state: State | None) -> nn.Module:
        """Return the subnet with inherited weights and its recalibrated batch norms, as it was scored.

        Raises:
            RaynasError: if it cannot be scored again.
        """
        return self.scored(space, arch)[0]

    def scored(self, space: SearchSpace, arch: Architecture) -> tuple[nn.Module, Result]:
        """Score a subnet; return it with its recalibrated batch norms, in eval mode, and the result.

        Raises:
            RaynasError: if it cannot be scored.
        """
        runner = self.runner(space)
        runner.begin({"arch": arch.to_config()})
        result = runner.step()
        if result["failed"]:
            raise RaynasError(f"subnet {arch.key} cannot be scored: {result['error']}")
        return copy.deepcopy(runner.trial.model).requires_grad_().eval(), result

    def trained_space(self, space: SearchSpace) -> SearchSpace:
        """Return the space of the supernet, at the size that was trained."""
        return TrainedSupernet.load(str(self.supernet), space.architecture_space).space

    def data_settings(self) -> Training:
        """Return the settings of a training on the supernet's data, at its present path."""
        path = Path(str(self.supernet))
        held = read_about(path)["training"]
        given = {name: value for name in ("data", "data_dir") if (value := getattr(self, name)) is not None}
        for name, value in (("data", held["data"]), ("data_dir", held["data_dir"])):
            if _is_own(name, value) and name not in given:
                raise RaynasError(
                    f"{path / ABOUT} names code or files, {name} {value!r}, which no file may choose; if they are "
                    f"yours, say so: Subnet(supernet=..., {name}={value!r})"
                )
        try:
            return Training(**{**held, **given, "batch_size": self.batch_size}, epochs=1, warmup_epochs=0)
        except (TypeError, ValueError) as error:
            raise RaynasError(f"{path / ABOUT} holds impossible settings: {error}; train the supernet again") from None


def _is_own(name: str, value: str) -> bool:
    """Return whether ``data`` or ``data_dir`` names code or files of the user's."""
    return ":" in value if name == "data" else value != Training.data_dir


class SharedSupernet:
    """Supernet and data for all trials of a process; other processes receive only the arrays.

    Args:
        settings: settings of the trials.
        trained: the supernet.
        training: makes the batches.
        source: the data; only read.
    """

    def __init__(self, settings: Subnet, trained: TrainedSupernet, training: Training, source: Source) -> None:
        self.settings, self.training, self.source = settings, training, source
        self.space: ModelSpace = trained.space
        # Arrays, because these travel through Ray's object store without a copy.
        self.weights: Arrays = trained.weights

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet on the shared weights; on a GPU this is the only copy there."""
        return supernet_on(self.space, self.weights).to(self.settings.torch_device)

    @cached_property
    def batches(self) -> Batches:
        """The batches to examine subnets on."""
        return self.training.batches(self.source, self.settings.torch_device)

    @cached_property
    def calibration(self) -> Callable[[], Iterable[Inputs]]:
        """Gives the inputs that batch norms are recalibrated with."""
        n_batches = self.settings.calibration_batches
        return calibration_inputs(self.source, self.training, n_batches, self.settings.torch_device)

    def __getstate__(self) -> dict[str, object]:
        made_here = ("supernet", "batches", "calibration")
        return {name: value for name, value in vars(self).items() if name not in made_here}


class SubnetTrial(Trial[Subnet]):
    """Scores one subnet with inherited weights.

    Args:
        space: gives the network whose costs are measured.
        settings: settings of the trials.
        shared: the weights and data of all trials.
    """

    def __init__(self, space: SearchSpace, settings: Subnet, *, shared: SharedSupernet) -> None:
        super().__init__(space, settings)
        self.shared = shared

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Extract the subnet; it copies only batch statistics."""
        self.settings.check_hyperparameters(hyperparameters)
        self.model = self.shared.supernet.extract(arch, copy_weights=False)

    def advance(self) -> Mapping[str, float]:
        """Recalibrate, then examine."""
        shared = self.shared
        recalibrate(self.model, shared.calibration())
        precision = partial(torch.autocast, self.device.type, torch.bfloat16, shared.training.dtype == "bfloat16")
        return Classification(shared.source.n_classes).examine(self.model, shared.batches, precision=precision)
