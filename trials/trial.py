"""ArchitectureTrial: what all ways of scoring an architecture share, whatever process it happens in."""

import gc
import logging
import math
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from raynas.core.architecture import Architecture
from raynas.core.goal import DIRECTIONS
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line
from raynas.metrics.cost import count_macs, count_params
from raynas.metrics.latency import measure_latency
from raynas.metrics.memory import peak_memory_mb, reset_peak_memory
from raynas.seeds import seed_of
from raynas.threads import limited_threads
from raynas.trials.checkpoint import Checkpoint
from raynas.trials.scores import checked_scores, forget_frames, is_out_of_memory, plain_scalar, reason_of

if TYPE_CHECKING:
    from raynas.trials.settings import ArchitectureSettings

logger = logging.getLogger(__name__)

CHECKPOINT_KEY = "_checkpoint"
"""Where a config names the checkpoint folder of an earlier run that a trial goes on from."""

MEASURED = DIRECTIONS.keys() - {"accuracy", "loss"}
"""What every result holds without the scoring having to report it."""

Result = dict[str, Any]
"""What is known after an epoch, flat: metrics, and how the trial stands."""


class ArchitectureTrial(ABC):
    """Scores one architecture after another; a subclass gives ``start`` and ``advance``.

    No exception leaves it: whatever goes wrong with an architecture becomes a result with ``failed`` 1, and the next
    one can come. Costs (params, macs, latency) are measured here, before ``start``, on a network of its own.
    Attributes that ``start`` and ``advance`` set are dropped when the trial ends, so that nothing passes from one to
    the next.

    ``start`` and every ``advance`` find torch's global generator seeded from the seed, the architecture and the
    epoch. It is the only global state that stays changed.

    Args:
        space: what the architectures belong to.
        settings: how they are scored.
        metrics: what every result must hold besides the metrics in ``DIRECTIONS``.
    """

    raises: bool = False
    """Whether to let exceptions through, for debugging."""

    measured: frozenset[str] = frozenset(("params", "macs", "latency_ms"))
    """The costs that are measured; scoring in bulk leaves out those that nobody asked for."""

    untrained: Mapping[str, Callable[[Architecture], float]] = MappingProxyType({})
    """Metrics besides that are measured before ``start``, by name, such as zero-cost proxies that are wanted."""

    directory: str | None = None
    """The trial's folder, which all nodes see; None outside of Tune."""

    def __init__(
        self, space: SearchSpace, settings: "ArchitectureSettings", metrics: Sequence[str] = ("accuracy",)
    ) -> None:
        self.space = space.architecture_space
        self.settings = settings
        self.required = tuple(metrics)
        self.arch = Architecture({})
        self.hyperparameters: dict[str, Any] = {}
        self.epoch = 0
        self.error = ""
        self.traceback = ""
        self._costs: dict[str, float] = {}
        self._scores: dict[str, float] = {}
        self._train_seconds = 0.0
        self._earlier_peak_mb = 0.0
        self._stage = ""
        self._done = False
        self._lasting: frozenset[str] | None = None

    # --- what a subclass gives ---------------------------------------------------------------------------------------

    @abstractmethod
    def start(self, arch: Architecture, hyperparameters: Mapping[str, Any]) -> None:
        """Get ready to score ``arch`` from the beginning; may raise anything.

        Args:
            arch: canonical.
            hyperparameters: what the config holds besides the architecture.
        """

    @abstractmethod
    def advance(self) -> Mapping[str, float]:
        """Do one epoch, or whatever a unit of fidelity is, and give the scores so far, such as "accuracy"; may raise.

        Raises:
            StopIteration: if there was nothing left to do; the last scores stand.
        """

    @property
    def finished(self) -> bool:
        """Whether the epoch just done was the last; by default after ``settings.max_fidelity``."""
        return self.epoch >= self.settings.max_fidelity

    def state(self) -> Mapping[str, Any] | None:
        """What is needed to go on after this epoch, tensors in plain containers; None (the default): nothing helps."""
        return None

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, right after ``start``; may raise, which means to stay at the beginning."""
        raise RaynasError("this kind of trial cannot go on from a checkpoint")

    def take_over(self, state: Mapping[str, Any], arch: Architecture) -> Mapping[str, float]:
        """Go on from the ``state`` of another architecture as far as it fits, right after ``start``.

        Returns:
            The scores as they are then; what raises means to stay at the beginning.
        """
        raise RaynasError(f"this kind of trial can take nothing over from another architecture, {arch.key}")

    # --- a trial -----------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where to compute.

        Raises:
            RaynasError: if the settings ask for a GPU and there is none.
        """
        if self.settings.device == "cuda" and not torch.cuda.is_available():
            raise RaynasError("device 'cuda' is asked for, but this process sees no GPU; use device 'auto' or 'cpu'")
        return torch.device("cuda" if self.settings.device != "cpu" and torch.cuda.is_available() else "cpu")

    def run(self, config: Mapping[str, Any], on_result: Callable[[Result], None] | None = None) -> Result:
        """Score the architecture in ``config`` to the end, in this process; gives the last result."""
        self.begin(config)
        while True:
            result = self.step()
            if on_result:
                on_result(result)
            if result["done"]:
                self.release()
                return result

    def begin(self, config: Mapping[str, Any]) -> None:
        """Begin the trial that a Tune config describes; the one before, if any, is over."""
        self.release()
        self.arch, self.hyperparameters = Architecture({}), {}
        self.epoch, self.error, self.traceback, self._done = 0, "", "", False
        self._costs, self._scores = {}, {}
        self._train_seconds = self._earlier_peak_mb = 0.0
        self._guarded(lambda: self._begin(config))

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._stage = "config"
        reset_peak_memory(self.device)
        self.arch = self.space.from_config(config)
        self.hyperparameters = {k: plain_scalar(v) for k, v in config.items() if k not in ("arch", CHECKPOINT_KEY)}
        checkpoint = self._read(config[CHECKPOINT_KEY]) if CHECKPOINT_KEY in config else None
        self._costs = dict(checkpoint.costs) if checkpoint else {}
        if not self._costs or not self.untrained.keys() <= self._costs.keys():
            self._stage = "measuring the network"
            besides = {name: metric(self.arch) for name, metric in self.untrained.items()}
            self._costs = {**self._measured_costs(), **besides}
        self._start()
        if checkpoint:
            self._continue(checkpoint)

    def _start(self) -> None:
        self._stage = "building the network"
        self.release()
        self._lasting = frozenset(vars(self))
        self.epoch, self._scores = 0, {}
        torch.manual_seed(self._seed("weights"))
        self.start(self.arch, self.hyperparameters)

    def _seed(self, what: object) -> int:
        return seed_of(self.settings.seed, self.arch.key, what)

    def _measured_costs(self) -> dict[str, float]:
        """Costs of the network as the space gives it, whatever the fidelity that it is trained with."""
        if not self.measured:
            return {}
        torch.manual_seed(self._seed("weights"))
        model, shape = self.space.build(self.arch), self.space.input_shape
        costs: dict[str, float] = {"params": count_params(model)}
        if "macs" in self.measured:
            try:
                costs["macs"] = count_macs(model, shape)
            except Exception as error:
                logger.warning("macs of %s cannot be counted: %s", self.arch.key, one_line(error))
        if "latency_ms" in self.measured:
            n_threads = self.settings.latency_threads
            costs["latency_ms"] = measure_latency(model, shape, n_threads=n_threads, device=self.device)
        return costs

    def step(self) -> Result:
        """Advance by one epoch and tell how the trial stands."""
        if not self.error and not self._done:
            self._guarded(self._step)
        return self._result()

    def _step(self) -> None:
        self._stage = f"epoch {self.epoch + 1}"
        if self.epoch and self.finished:  # a kill came between the last checkpoint and its result
            self._done = True
            return
        torch.manual_seed(self._seed(self.epoch))
        start = time.perf_counter()
        try:
            scores = checked_scores(self.advance())
        except StopIteration:
            if not self.epoch:
                raise RaynasError("nothing was reported") from None
            self._done = True
            return
        finally:
            self._train_seconds += time.perf_counter() - start
        known = {*scores, *MEASURED, *self._costs}
        if missing := [name for name in self.required if name not in known]:
            raise RaynasError(f"metric {missing[0]!r} is wanted, but what was reported is {', '.join(scores)}")
        self._scores = scores
        self.epoch += 1
        self._done = self.finished

    def _result(self) -> Result:
        names = dict.fromkeys((*DIRECTIONS, *self.required), math.nan)
        measured = {"train_seconds": self._train_seconds, "peak_memory_mb": self._peak_memory_mb()}
        failed = bool(self.error)
        return {
            **names,
            **self._costs,
            **measured,
            **({} if failed else self._scores),
            "training_iteration": self.epoch,
            "complete": int(self._done and not failed),
            "failed": int(failed),
            "error": self.error,
            "done": self._done or failed,
        }

    def _peak_memory_mb(self) -> float:
        on_gpu = self.settings.device != "cpu" and torch.cuda.is_available()
        return max(peak_memory_mb("cuda" if on_gpu else "cpu"), self._earlier_peak_mb)

    def release(self) -> None:
        """Drop the network and all else that the trial has set."""
        if self._lasting is not None:
            for name in vars(self).keys() - self._lasting:
                delattr(self, name)
            self._lasting = None

    # --- failures ----------------------------------------------------------------------------------------------------

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            with limited_threads(self.settings.n_threads):
                action()
        except (Exception, SystemExit) as error:
            if self.raises:
                raise
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.error = f"{self._stage}: {reason_of(error)}"
        self.traceback = "".join(traceback.format_exception(error))
        logger.warning("%s failed: %s", self.arch.key if self.arch else "a trial", self.error)
        forget_frames(error)
        self.release()
        if is_out_of_memory(error):  # otherwise not: it takes a third of a second
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> None:
        """Write a checkpoint of the trial into ``directory``; a disk that is full costs a warning, not the trial."""
        try:
            Checkpoint(
                arch=self.arch,
                epoch=self.epoch,
                state=None if self.error else self.state(),
                train_seconds=self._train_seconds,
                peak_memory_mb=self._peak_memory_mb(),
                costs=self._costs,
                scores=self._scores,
            ).write(directory)
        except Exception as error:
            logger.warning("checkpoint %s of %s could not be written: %s", directory, self.arch.key, one_line(error))

    def load(self, directory: str | Path) -> None:
        """Go on from a checkpoint, in place of where the trial stands; one that is no good costs a warning.

        It may be of another architecture, as population based training hands it on.
        """
        if self.error:
            return

        def load() -> None:
            checkpoint = self._read(directory, any_arch=True)
            if self.epoch:
                self._start()
            if checkpoint:
                self._continue(checkpoint)

        self._guarded(load)

    def _read(self, directory: str | Path, *, any_arch: bool = False) -> Checkpoint | None:
        try:
            checkpoint = Checkpoint.read(directory)
            if checkpoint.arch != self.arch and not any_arch:
                raise RaynasError(f"{directory} is of another architecture, {checkpoint.arch.key}")
        except RaynasError as error:
            self._warn_of(error)
            return None
        return checkpoint

    def _continue(self, checkpoint: Checkpoint) -> None:
        try:
            if checkpoint.state is None:
                raise RaynasError("the checkpoint holds no state to go on from")
            if checkpoint.arch == self.arch:
                self.load_state(checkpoint.state)
                scores, costs = dict(checkpoint.scores), dict(checkpoint.costs)
            else:  # what that one scored and cost is not this one's
                scores, costs = checked_scores(self.take_over(checkpoint.state, checkpoint.arch)), {}
        except Exception as error:
            self._warn_of(error)
            self._start()  # the state may have been loaded in part
            return
        self.epoch, self._scores = checkpoint.epoch, scores
        self._train_seconds, self._earlier_peak_mb = checkpoint.train_seconds, checkpoint.peak_memory_mb
        self._costs = self._costs | costs

    def _warn_of(self, error: Exception) -> None:
        logger.warning("%s starts from the beginning: %s", self.arch.key, one_line(error))
