"""Function: scores an architecture by a training function of the user's."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, SettingError
from raynas.metrics import Metrics
from raynas.trials.checkpoint import State
from raynas.trials.plain_state import plain_state
from raynas.trials.runner import TrialRunner
from raynas.trials.scores import number_of
from raynas.trials.settings import ArchitectureSettings
from raynas.trials.trial import Trial
from raynas.user_code import load_function, split_reference
from raynas.validate import require_whole

STATE = "state"
"""Name of the parameter for what a function saves besides the weights, and of its entry in a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Function(ArchitectureSettings):
    """Score each architecture by ``fn(model, config)``.

    ``model`` is the network with fresh weights, on the CPU; ``config`` is the trial's: the architecture under "arch"
    and the hyperparameters beside it. The function returns the accuracy, or a dict of metrics; or it is a generator
    that yields one of these per epoch, so that early stopping can end it between two. Objectives may also name
    zero-cost proxies that need no images, such as "synflow".

    After every report the weights of ``model`` are saved, so train it in place; ``result.best_model()`` gives it back.
    A trial that was killed begins again, unless the function has a third parameter, ``state``: a dict that is saved
    with the weights, for tensors, numbers and texts. It is empty at first; in a trial that continues it holds what it
    held at the last report, and ``model`` has the weights of then::

        def train(model, config, state):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            if state:
                optimizer.load_state_dict(state["optimizer"])
            for epoch in range(state.get("epoch", 0), 10):
                ...
                state.update(epoch=epoch + 1, optimizer=optimizer.state_dict())
                yield accuracy

    Args:
        fn: the function, or its name ``module:function``.
        epochs: maximum number of reports of a generator; None for no limit.

    Raises:
        SettingError: if ``fn`` is neither.
    """

    fn: Callable[..., Any] | str
    epochs: int | None = None

    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.fn, str):
            split_reference(self.fn)
        elif not callable(self.fn):
            raise SettingError(f"fn must be a function fn(model, config) or 'module:function', got {self.fn!r}")
        if self.epochs is not None:
            require_whole("epochs", self.epochs, 1)

    @property
    def max_fidelity(self) -> int:
        """Maximum number of reports of a trial: ``epochs``, or else 100 as a guess."""
        return self.epochs or 100

    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> "TrialRunner[FunctionTrial]":
        """Return what calls the function in this process.

        Raises:
            RaynasError: if the function cannot be imported.
        """
        self.load_function()
        return TrialRunner(space, self, FunctionTrial, metrics)

    def load_function(self) -> Callable[..., object]:
        """Return the function, imported where ``fn`` names it.

        Raises:
            RaynasError: if it cannot be imported.
        """
        return load_function(self.fn) if isinstance(self.fn, str) else self.fn


class FunctionTrial(Trial[Function]):
    """Calls the user's function for one architecture."""

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Build the network; the function is called in the first epoch."""
        self.fn = self.settings.load_function()
        self.model = self.space.build(arch)
        self.config = {"arch": arch.to_config(), **hyperparameters}
        self.reports: Iterator[object] | None = None
        self.returned = False
        self.saved: dict[str, Any] | None = {} if takes_state(self.fn) else None

    def advance(self) -> Mapping[str, float]:
        """Call the function, or let its generator run to the next report."""
        if self.reports is None:
            more = {} if self.saved is None else {STATE: self.saved}
            outcome = self.fn(self.model, self.config, **more)
            self.returned = not isinstance(outcome, Iterator)
            self.reports = outcome if isinstance(outcome, Iterator) else iter([outcome])
        scores = as_scores(next(self.reports))
        plain_state(self.saved, STATE)  # better said here, in the trial, than where it is saved
        return scores

    def state(self) -> State:
        """Return the weights, and what the function saves with them."""
        return {"model": plain_state(self.model.state_dict(), "model"), STATE: plain_state(self.saved, STATE)}

    def load_state(self, state: State) -> None:
        """Restore the weights and what the function has saved."""
        if self.saved is None:
            raise RaynasError("its function has no parameter 'state' to continue from")
        self.model.load_state_dict(state["model"])
        self.saved.update(state[STATE])

    @property
    def finished(self) -> bool:
        """True if the function returned, or its generator gave the last report allowed."""
        return self.returned or self.epoch == self.settings.epochs


def takes_state(fn: Callable[..., object]) -> bool:
    """Return True if a function has a parameter named ``state`` that nothing is bound to."""
    try:
        parameter = inspect.signature(fn).parameters.get(STATE)
    except (TypeError, ValueError):  # a callable without a signature
        return False
    return parameter is not None and parameter.default in (inspect.Parameter.empty, None)


def as_scores(outcome: object) -> Mapping[str, float]:
    """Convert what a user's function returned or yielded to a dict of metrics; a number is the accuracy.

    Raises:
        RaynasError: if it is neither.
    """
    if isinstance(outcome, Mapping):
        return outcome
    number = number_of(outcome)
    if number is None:
        raise RaynasError(f"the function must give a number (the accuracy) or a dict of numbers, got {outcome!r}")
    return {"accuracy": number}
