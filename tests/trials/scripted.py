"""A trial that reports what a test tells it to."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.metrics import Metrics
from raynas.trials import Training, Trial, TrialRunner
from raynas.trials.progress import Result
from tests.trials.spaces import TinyCnn


class Scripted(Trial[Training]):
    """Reports what it is told to."""

    def __init__(self, space: SearchSpace, settings: Training, script: Sequence[Any] = ({"accuracy": 0.5},)) -> None:
        super().__init__(space, settings)
        self.script = script

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        self.reports = iter(self.script)
        self.secret = hyperparameters.get("secret")

    def advance(self) -> Mapping[str, float]:
        report = next(self.reports)
        if isinstance(report, Exception):
            raise report
        return report  # type: ignore[no-any-return]


def scripted(*reports: Any, metrics: Metrics = ("accuracy",), epochs: int = 3) -> Result:
    return TrialRunner(TinyCnn(), Training(epochs=epochs), partial(Scripted, script=reports), metrics).run(
        {"arch": {"depth": 2, "kernel": 3}}
    )
