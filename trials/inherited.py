"""Inherited: scores an architecture with the weights that it is built with, before any training."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import nn

from raynas.converting import ConvertedSpace
from raynas.converting.shares import Magnitudes, kept_share, l1_magnitudes, taylor_magnitudes
from raynas.core.architecture import Architecture
from raynas.core.extended_space import network_part, network_space
from raynas.core.inputs import Inputs
from raynas.core.space import SearchSpace
from raynas.data.batches import Batch, Batches
from raynas.data.sources import Source
from raynas.errors import SettingError
from raynas.metrics import Metrics
from raynas.metrics.table import INHERITED
from raynas.nn.batch_statistics import is_recalibrated, recalibrate
from raynas.seeds import seed_of
from raynas.trials.checkpoint import State
from raynas.trials.data_settings import DataSettings
from raynas.trials.distillation import Distillation
from raynas.trials.distilled import Distilled, Taught, Teacher, output_of
from raynas.trials.gradient_training import GradientTraining
from raynas.trials.runner import REPORTED, TrialRunner
from raynas.trials.settings import refuse_all
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.trial import Trial
from raynas.validate import require_whole


@dataclass(frozen=True, kw_only=True)
class Inherited(DataSettings):
    """Score each architecture with the weights that the space builds it with, before any training.

    A cheap look at many members of ``raynas.convert``, of which the best are then recovered with ``recovery``. Metrics:

    - "divergence", "agreement", "accuracy", "loss": those of ``Distillation`` on a part of the validation split.
    - "loss_increase": loss of a batch of training data above that of the teacher, against labels where the data has
      some that fit the outputs, else against the teacher's outputs.
    - "weight_share", "taylor_share": share of the importance of the given model's weights that a member keeps, as
      absolute values, all layers alike, and as first-order changes of the loss; for converted spaces alone.

    Zero-cost proxies are measured on the inherited weights where an objective, a constraint or ``metrics`` names them.

    Args:
        recovery: the training of candidates, which has teacher, data and kind of outputs.
        n_batches: number of validation batches that scores are computed on; 0 for all.
        calibration_batches: number of training batches that the statistics of batch norms are taken on before, because
            those that members inherit are of another network; 0 for none.
        bulk: number of architectures proposed at a time, for a few long-lived actors; 0 for a Tune trial each.

    Raises:
        ValueError: if a value is out of range.
    """

    recovery: Distillation
    n_batches: int = 8
    calibration_batches: int = 4
    bulk: int = 16

    trains: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.recovery, Distillation):
            raise SettingError(f"recovery must be the settings of a Distillation, got {self.recovery!r}")
        for name in ("n_batches", "calibration_batches", "bulk"):
            require_whole(name, getattr(self, name), 0)

    @property
    def bulk_size(self) -> int:
        return self.bulk

    @property
    def reports(self) -> frozenset[str] | None:
        """The scores of ``Distillation``, and those before it."""
        return frozenset(("accuracy", "agreement", "divergence", "loss", *INHERITED)) | REPORTED

    @property
    def description(self) -> str:
        """These settings in one line."""
        return super().description.replace(repr(self.recovery), self.recovery.description)

    def data_settings(self) -> GradientTraining:
        """Return the settings of the recovery."""
        return self.recovery

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse all: nothing is trained.

        Raises:
            UnknownNameError: if there is any.
        """
        refuse_all("hyperparameter of inherited weights, which are not trained:", names)

    def runner(self, space: SearchSpace, metrics: Metrics = ("divergence",)) -> "TrialRunner[InheritedTrial]":
        """Return what scores architectures of ``space`` in this process; data and teacher are loaded once."""
        space, source, teacher, batch = self.recovery.prepared(space, metrics)
        scorer = InheritedScorer(self, space, source, teacher)
        return TrialRunner(space, self, partial(InheritedTrial, scorer=scorer), metrics, batch=batch)

    def trained_model(self, space: SearchSpace, arch: Architecture, state: State | None) -> nn.Module:
        """Return the network with its inherited weights, as it was scored."""
        runner = self.runner(space)
        runner.begin({"arch": arch.to_config()})
        return runner.trial.scorer.network(arch).cpu()


class InheritedScorer:
    """Scores architectures by their inherited weights, all on the same examples.

    Args:
        settings: settings of the trials.
        space: gives the networks.
        source: the data, at the fidelity of the recovery; only read.
        teacher: the trained model; only read.
    """

    def __init__(self, settings: Inherited, space: SearchSpace, source: Source, teacher: nn.Module) -> None:
        self.settings, self.space, self.source, self.teacher = settings, space, source, teacher

    def __getstate__(self) -> dict[str, object]:
        made_here = ("_examined", "_calibration", "_first", "_task", "_taylor", "_l1", "_reference")
        return {name: value for name, value in vars(self).items() if name not in made_here}

    # --- what all candidates share, made once in each process --------------------------------------------------------

    @cached_property
    def _task(self) -> Distilled:
        return _Known(Teacher(self.teacher, self.settings.torch_device), self.settings.recovery.kind)

    @property
    def _batches(self) -> Batches:
        recovery = replace(self.settings.recovery, augment="none")
        return recovery.batches(self.source, self.settings.torch_device)

    @cached_property
    def _examined(self) -> list[tuple[Inputs, Taught]]:
        found = islice(self._batches.examine("valid"), self.settings.n_batches or None)
        return [(inputs, self._task.targets(inputs, labels)) for inputs, labels in found]

    @cached_property
    def _calibration(self) -> Callable[[], Iterable[Inputs]]:
        """Gives the inputs that batch norms are recalibrated with."""
        n, device = self.settings.calibration_batches, self.settings.torch_device
        return calibration_inputs(self.source, self.settings.recovery, n, device)

    @cached_property
    def _first(self) -> tuple[Inputs, Taught]:
        """The first training batch, the same for all."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            inputs, labels = next(self._batches.train(seed_of(self.settings.seed, "first batch")))
        return inputs, self._task.targets(inputs, labels)

    @cached_property
    def _reference(self) -> float:
        """The teacher's own loss of the first batch."""
        _, taught = self._first
        return float(self._task.loss_of_labels(taught.outputs, taught))

    @property
    def _converted(self) -> ConvertedSpace | None:
        networks = network_space(self.space)
        return networks if isinstance(networks, ConvertedSpace) else None

    @cached_property
    def _l1(self) -> Magnitudes:
        return l1_magnitudes(self._converted.given) if self._converted else {}

    @cached_property
    def _taylor(self) -> Magnitudes:
        if not self._converted:
            return {}
        model = copy.deepcopy(self._converted.given).to(self.settings.torch_device).eval().requires_grad_(True)
        inputs, taught = self._first
        found = taylor_magnitudes(model, self._task.loss_of_answers(output_of(model, inputs), taught))
        return {name: magnitude.cpu() for name, magnitude in found.items()}

    # --- scores ------------------------------------------------------------------------------------------------------

    def network(self, arch: Architecture) -> nn.Module:
        """Return a network with its inherited weights and its own statistics."""
        model = self.space.build(arch).to(self.settings.torch_device)
        if self.settings.calibration_batches and is_recalibrated(model):
            recalibrate(model, self._calibration())
        return model.eval()

    def scores(self, arch: Architecture) -> Mapping[str, float]:
        """Return all scores of an architecture."""
        model = self.network(arch)
        with torch.no_grad():  # what is kept for others must not be tensors of inference mode
            found = self._task.examine(model, _Held(self._examined))
            inputs, taught = self._first
            loss = self._task.loss_of_labels(self._task.outputs(model, inputs), taught)
            found["loss_increase"] = float(loss) - self._reference
        if converted := self._converted:
            options = network_part(self.space, arch)
            for name, magnitudes, by_layer in (("weight", self._l1, True), ("taylor", self._taylor, False)):
                found[f"{name}_share"] = kept_share(converted.plan, options, magnitudes, by_layer=by_layer)
        return found


class InheritedTrial(Trial[Inherited]):
    """Scores one architecture with inherited weights.

    Args:
        space: gives the network.
        settings: settings of the trials.
        scorer: shared by all trials.
    """

    def __init__(self, space: SearchSpace, settings: Inherited, *, scorer: InheritedScorer) -> None:
        super().__init__(space, settings)
        self.scorer = scorer

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Keep the architecture."""
        self.settings.check_hyperparameters(hyperparameters)
        self.arch = arch

    def advance(self) -> Mapping[str, float]:
        """Compute all scores."""
        return self.scorer.scores(self.arch)


class _Known(Distilled):
    """The task on batches whose teacher has been asked."""

    def targets(self, inputs: Inputs, labels: Any) -> Taught:
        return labels if isinstance(labels, Taught) else super().targets(inputs, labels)


@dataclass(frozen=True)
class _Held(Batches):
    """Batches with their targets, which are kept from one network to the next."""

    held: list[tuple[Inputs, Taught]]

    @property
    def n_steps(self) -> int | None:
        return len(self.held)

    def train(self, seed: int) -> Iterator[Batch]:
        return iter(self.held)

    def examine(self, part: str) -> Iterator[Batch]:
        return iter(self.held)
