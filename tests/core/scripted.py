"""A searcher that proposes from a script, and a toy space for it."""

from collections.abc import Iterable
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)
WAIT = None


def arch(digits: str, head: str | None = None) -> Architecture:
    layers: dict[str, Any] = {f"layers.{i}": int(digit) for i, digit in enumerate(digits)}
    return Architecture(layers | ({"head": head} if head else {}))


A, B, C, D = arch("00"), arch("01"), arch("10"), arch("11")


def config(point: Architecture) -> dict[str, Any]:
    return {"arch": point.to_config()}


def score(accuracy: float, epoch: int = 1, **more: Any) -> dict[str, Any]:
    return {"accuracy": accuracy, "training_iteration": epoch, **more}


class Scripted(ArchitectureSearcher):
    """Proposes what it is told to, and remembers what it saw."""

    def __init__(self, script: Iterable[Architecture | None] = (), constraints: Any = (), **common: Any) -> None:
        space = common.pop("space", SPACE)
        super().__init__(space, common.pop("goal", Goal.parse("accuracy", constraints)), **common)
        self.script = iter(script)
        self.n_asked = 0
        self.seen: list[Evaluation] = []

    def propose(self) -> Architecture | None:
        self.n_asked += 1
        return next(self.script, WAIT)

    def observe(self, evaluation: Evaluation) -> None:
        self.seen.append(evaluation)

    @property
    def events(self) -> list[str]:
        return [record["event"] for record in self.archive]


def saw(searcher: Scripted) -> list[tuple[Architecture, str]]:
    return [(evaluation.arch, evaluation.status) for evaluation in searcher.seen]
