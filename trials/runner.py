"""TrialRunner: evaluates one architecture after another in this process, and turns failures into results."""

import gc
import logging
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from raynas.accelerators import empty_cache, is_available
from raynas.core.metric import Metric
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, UnreportedMetricError, one_line
from raynas.isolation import OwnState, isolated, seed_generators
from raynas.metrics import METRICS, Batch, Metrics
from raynas.metrics.memory import peak_memory_mb, reset_peak_memory
from raynas.metrics.table import COUNTED
from raynas.seeds import seed_of
from raynas.threads import limited_threads
from raynas.trials.checkpoint import CHECKPOINT_KEY, Checkpoint, State
from raynas.trials.costs import Costs
from raynas.trials.failures import forget_frames, is_out_of_disk, is_out_of_memory, reason_of
from raynas.trials.progress import Config, Progress, Result
from raynas.trials.scores import Report, checked_report, checked_scores
from raynas.trials.team import LostWorkerError, Team
from raynas.trials.trial import SettingsT, Trial
from raynas.validate import plain

if TYPE_CHECKING:
    from raynas.trials.settings import ArchitectureSettings

logger = logging.getLogger(__name__)

REPORTED = frozenset(("train_seconds", "peak_memory_mb"))
"""Metrics that the runner reports of every trial."""

TrialT = TypeVar("TrialT", bound=Trial[Any], covariant=True)


class TrialRunner(Generic[TrialT]):
    """Runs one trial after another; whatever fails in one becomes a result with ``failed`` 1.

    Global state of the process, such as torch's gradient mode and the working folder, is as before each trial. What a
    trial changes holds for itself alone, from epoch to epoch.

    Args:
        space: the space of the architectures.
        settings: settings of the trials.
        make: makes the ``Trial`` of each architecture from ``space`` and ``settings``; objects that trials share are
            bound to it, as in ``partial(MyTrial, data=data)``.
        metrics: metrics that every result must hold besides those in ``STANDARD``, or their names. Those that the trial
            does not report are measured before it starts.
        batch: draws the training data that metrics are measured with; None if there is none.
        counted: names of the metrics to measure in any case, where they can be.
        team: the processes that run a trial together; None for this one alone.
    """

    raises: bool = False
    """True lets exceptions through, for debugging."""

    directory: str | None = None
    """Folder of the trial, visible to all nodes; None outside of Tune."""

    keeps_team: bool = False
    """True keeps the other processes of a trial for the next one, until this is False again."""

    def __init__(
        self,
        space: SearchSpace,
        settings: SettingsT,
        make: Callable[[SearchSpace, SettingsT], TrialT],
        metrics: Metrics = ("accuracy",),
        *,
        batch: Callable[[], Batch] | None = None,
        counted: Collection[str] = COUNTED,
        team: Team | None = None,
    ) -> None:
        self.space = space.architecture_space
        self.settings: ArchitectureSettings = settings
        self.metrics = tuple(metrics)
        self.required = tuple(metric if isinstance(metric, str) else metric.name for metric in metrics)
        self.costs = Costs(self.space, settings, metrics, batch, counted)
        self.progress = Progress()
        self.team = team or Team()
        self._make: Callable[[SearchSpace, Any], TrialT] = make
        self._batch = batch
        self._trial: TrialT | None = None
        self._own_state = OwnState()

    @property
    def trial(self) -> TrialT:
        """The current trial.

        Raises:
            RaynasError: if there is none: before ``begin``, and after a failure or ``release``.
        """
        if self._trial is None:
            raise RaynasError(f"no trial is running: {self.progress.error or 'begin one'}")
        return self._trial

    def with_seed(self, seed: int) -> "TrialRunner[TrialT]":
        """Return a runner of the same trials with another seed; what they share, such as data, is shared with it."""
        settings = replace(self.settings, seed=seed)
        return TrialRunner(
            self.space,
            settings,
            self._make,
            self.metrics,
            batch=self._batch,
            counted=self.costs.counted,
            team=self.team,
        )

    def make_trial(self, settings: "ArchitectureSettings") -> TrialT:
        """Return a trial that has not started."""
        return self._make(self.space, settings)

    # --- a trial -----------------------------------------------------------------------------------------------------

    def run(self, config: Config, on_result: Callable[[Result], None] | None = None) -> Result:
        """Score the architecture in ``config`` to the end; return the last result."""
        self.begin(config)
        while True:
            result = self.step()
            if on_result:
                on_result(result)
            if result["done"]:
                self.release()
                return result

    def begin(self, config: Config) -> None:
        """Begin the trial that a Tune config describes, in place of the one before."""
        self.release()
        self.progress, self._own_state = Progress(), OwnState()
        self._guarded(partial(self._begin, config))

    def _begin(self, config: Config) -> None:
        progress = self.progress
        device = self.settings.torch_device
        if device.type == "cuda" and self.settings.gpus < 1:  # other trials have the rest of its memory
            torch.cuda.set_per_process_memory_fraction(self.settings.gpus)
        reset_peak_memory(device)
        progress.arch = self.space.from_config(config)
        progress.hyperparameters = {k: plain(v) for k, v in config.items() if k not in ("arch", CHECKPOINT_KEY)}
        checkpoint = self._read(config[CHECKPOINT_KEY]) if CHECKPOINT_KEY in config else None
        progress.costs = dict(checkpoint.costs) if checkpoint else {}
        if missing := [metric for metric in self.costs.metrics if metric.name not in progress.costs]:
            progress.stage = "measuring the network"
            progress.costs = {**progress.costs, **self.costs.measure(missing, progress.arch)}
        self._start()
        if checkpoint:
            self._continue(checkpoint)

    def _start(self) -> None:
        progress = self.progress
        progress.stage, progress.epoch, progress.scores = "building the network", 0, {}
        self.release()
        trial = self._trial = self.make_trial(self.settings)
        trial.directory = self.directory
        trial.workers, self.team.epoch = self.team.assemble(self), 0
        seed = self._seed("weights")
        with self.team.calling("start", seed, progress.arch, progress.hyperparameters):
            seed_generators(seed)
            trial.start(progress.arch, progress.hyperparameters)

    def _seed(self, part: object) -> int:
        return seed_of(self.settings.seed, self.progress.arch.key, part)

    def report_again(self) -> None:
        """Let the first step of a trial that continues report the epoch in its checkpoint, and train nothing."""
        self.progress.reports_again = self.progress.epoch > 0

    def step(self) -> Result:
        """Advance by one epoch; return the result after it."""
        if not self.progress.failed and not self.progress.done:
            self._guarded(self._step)
        return self.progress.result(self.required, self._peak_memory_mb())

    def _step(self) -> None:
        progress, trial = self.progress, self.trial
        progress.stage = f"epoch {progress.epoch + 1}"
        reports_again, progress.reports_again = progress.reports_again, False
        if progress.epoch and (trial.finished or reports_again):  # a kill came between a checkpoint and its result
            progress.done = trial.finished
            return
        report = self._advance()
        if report is not None:
            late = {m.name for m in self.metrics if isinstance(m, Metric) and METRICS.get(m.name) != m}
            self._require(set(self.required) - late, progress.reported | report.scores.keys())
            self._reach(progress.epoch + 1, *report)
        progress.done = report is None or trial.finished
        if progress.done:
            self._require(self.required, progress.reported)

    def _advance(self) -> Report | None:
        """Do one epoch; return its report, or None if nothing was left to do."""
        seed = self._seed(self.progress.epoch)
        start = time.perf_counter()
        try:
            with self.team.calling("advance", seed):
                seed_generators(seed)
                report = self.trial.advance()
            return checked_report(report, lambda name: name in METRICS or name in self.required)
        except StopIteration:
            if not self.progress.epoch:
                raise RaynasError("nothing was reported") from None
            return None
        finally:
            self.progress.train_seconds += time.perf_counter() - start

    def _reach(self, epoch: int, scores: Mapping[str, float], notes: Mapping[str, str] = MappingProxyType({})) -> None:
        self.trial.epoch = self.team.epoch = self.progress.epoch = epoch
        self.progress.scores, self.progress.notes = scores, {**self.trial.notes, **notes}
        self.progress.reported |= scores.keys()

    def _require(self, names: Collection[str], reported: Collection[str]) -> None:
        """Refuse a trial without a metric that is asked for; what the user declared may come with the last epoch."""
        for name in self.required:
            if name in names and name not in {*reported, *REPORTED, *self.progress.costs}:
                self.progress.unreported, self.progress.reported = name, frozenset(reported)
                measurable = [m.name for m in METRICS.values() if m.measure and m.needs in self.settings.measures]
                raise UnreportedMetricError(name, reported, measurable)

    def _peak_memory_mb(self) -> float:
        kind = "cuda" if self.settings.device == "auto" else self.settings.device
        return peak_memory_mb(kind if is_available(kind) else "cpu")

    def release(self) -> None:
        """Drop the trial with its network."""
        if self._trial is not None:
            with isolated(self._own_state):
                self._close()
        if not self.keeps_team:
            self.team.close()

    def _close(self) -> None:
        trial, self._trial = self.trial, None
        self.team.part()
        try:
            trial.close()
        except Exception as error:
            logger.warning("%s could not be closed: %s", self.progress.arch.key, one_line(error))

    # --- failures ----------------------------------------------------------------------------------------------------

    def _guarded(self, action: Callable[[], None]) -> None:
        with limited_threads(self.settings.n_threads), isolated(self._own_state):
            try:
                action()
            except (Exception, SystemExit) as error:
                if self.raises or isinstance(error, LostWorkerError):
                    raise
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        progress = self.progress
        progress.error = f"{progress.stage}: {reason_of(error)}"
        progress.traceback = "".join(traceback.format_exception(error))
        progress.is_out_of_disk = is_out_of_disk(error)
        logger.warning("%s failed: %s", progress.arch.key if progress.arch else "a trial", progress.error)
        forget_frames(error)
        self.release()
        if is_out_of_memory(error):  # otherwise not: it takes a third of a second
            gc.collect()
            empty_cache("cuda" if self.settings.device == "auto" else self.settings.device)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> None:
        """Write a checkpoint of the trial into ``directory``; a full disk costs a warning, not the trial."""
        progress = self.progress
        if progress.failed:  # the one before is of use, if any is
            return
        try:
            progress.checkpoint(self.state(), self._peak_memory_mb()).write(directory)
        except Exception as error:
            name = progress.arch.key
            logger.warning("checkpoint %s of %s could not be written: %s", directory, name, one_line(error))

    def state(self) -> State | None:
        """Return the state of the trial after this epoch; None if it cannot be resumed."""
        with self.team.calling("state"):
            return self.trial.state()

    def load(self, directory: str | Path) -> None:
        """Continue from a checkpoint, whatever epoch the trial is at; an unusable one costs a warning.

        It may be of another architecture: population based training passes checkpoints between trials.
        """
        if not self.progress.failed:
            self._guarded(partial(self._load, directory))

    def _load(self, directory: str | Path) -> None:
        checkpoint = self._read(directory, any_arch=True)
        if self.progress.epoch:
            self._start()
        if checkpoint:
            self._continue(checkpoint)

    def _read(self, directory: str | Path, *, any_arch: bool = False) -> Checkpoint | None:
        try:
            checkpoint = Checkpoint.read(directory)
            if checkpoint.arch != self.progress.arch and not any_arch:
                raise RaynasError(f"{directory} is of another architecture, {checkpoint.arch.key}")
        except RaynasError as error:
            self._warn_of(error)
            return None
        return checkpoint

    def _continue(self, checkpoint: Checkpoint) -> None:
        progress, trial = self.progress, self.trial
        try:
            if checkpoint.state is None:
                raise RaynasError("the checkpoint holds no state to go on from")
            if checkpoint.arch == progress.arch:
                with self.team.calling("load_state", None, checkpoint.state):
                    trial.load_state(checkpoint.state)
                scores, costs = checkpoint.scores, checkpoint.costs
            else:  # the scores and costs are those of the other architecture
                with self.team.calling("take_over", None, checkpoint.state, checkpoint.arch):
                    taken = trial.take_over(checkpoint.state, checkpoint.arch)
                scores, costs = checked_scores(taken), {}
        except LostWorkerError:
            raise
        except Exception as error:
            self._warn_of(error)
            self._start()  # the state may have been loaded in part
            return
        self._reach(checkpoint.epoch, scores)
        progress.train_seconds, progress.earlier_peak_mb = checkpoint.train_seconds, checkpoint.peak_memory_mb
        progress.costs = {**progress.costs, **costs}

    def _warn_of(self, error: Exception) -> None:
        logger.warning("%s starts from the beginning: %s", self.progress.arch.key, one_line(error))
