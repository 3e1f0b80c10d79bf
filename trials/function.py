"""Function: scores an architecture by a training function of the user's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.trials.settings import ArchitectureSettings
from raynas.trials.trial import ArchitectureTrial
from raynas.trials.zero_cost_metrics import wanted_proxies
from raynas.user_code import load_function, split_reference
from raynas.validate import require_whole


@dataclass(frozen=True, kw_only=True)
class Function(ArchitectureSettings):
    """Score each architecture by ``fn(model, config)``.

    ``model`` is the network with fresh weights, on the CPU; ``config`` is the trial's: the architecture under "arch"
    and the hyperparameters beside it. The function returns the accuracy, or a dict of metrics; or it is a generator
    that yields one of these per epoch, so that early stopping can end it between two. A function cannot go on from
    a checkpoint: a trial that was killed begins again. Objectives may also name zero-cost proxies that need no images,
    such as "synflow".

    Args:
        fn: the function, or where to find it: ``module:function``.
        epochs: how many reports a generator gives at most; None for as many as it likes.

    Raises:
        ValueError: if ``fn`` is neither.
    """

    fn: Callable[..., Any] | str
    epochs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.fn, str):
            split_reference(self.fn)
        elif not callable(self.fn):
            raise ValueError(f"fn must be a function fn(model, config) or 'module:function', got {self.fn!r}")
        if self.epochs is not None:
            require_whole("epochs", self.epochs, 1)

    @property
    def max_fidelity(self) -> int:
        """The most reports of a trial; a guess, 100, where ``epochs`` does not say."""
        return self.epochs or 100

    def trial(self, space: SearchSpace, metrics: Sequence[str] = ("accuracy",)) -> "FunctionTrial":
        """What calls the function in this process."""
        if isinstance(self.fn, str):
            load_function(self.fn)
        trial = FunctionTrial(space, self, metrics)
        trial.untrained = wanted_proxies(trial.space, metrics, self.seed)
        return trial


class FunctionTrial(ArchitectureTrial):
    """Calls the user's function for one architecture after another."""

    def __init__(self, space: SearchSpace, settings: Function, metrics: Sequence[str] = ("accuracy",)) -> None:
        self._function = settings
        super().__init__(space, settings, metrics)

    def start(self, arch: Architecture, hyperparameters: Mapping[str, Any]) -> None:
        """Build the network; the function is called in the first epoch."""
        fn = self._function.fn
        self.fn = load_function(fn) if isinstance(fn, str) else fn
        self.model = self.space.build(arch)
        self.config = {"arch": arch.to_config(), **hyperparameters}
        self.reports: Iterator[Any] | None = None
        self.is_over = False

    def advance(self) -> Mapping[str, float]:
        """Call the function, or let its generator run to the next report."""
        if self.reports is None:
            outcome = self.fn(self.model, self.config)
            if not isinstance(outcome, Iterator):
                self.is_over = True
                return as_scores(outcome)
            self.reports = outcome
        return as_scores(next(self.reports))

    @property
    def finished(self) -> bool:
        """Whether the function returned, or its generator gave all the reports that it may."""
        return self.is_over or self.epoch == self._function.epochs


def as_scores(outcome: Any) -> Mapping[str, float]:
    """What a user's function returned or yielded, as a dict of metrics; a number is the accuracy.

    Raises:
        RaynasError: if it is neither.
    """
    if isinstance(outcome, Mapping):
        return outcome
    try:
        return {"accuracy": float(outcome)}
    except (TypeError, ValueError):
        raise RaynasError(
            f"the function must give a number (the accuracy) or a dict of numbers, got {outcome!r}"
        ) from None
