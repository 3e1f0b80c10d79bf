"""Stop rules: when a search should end before it collapses, and at which architecture."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raynas.core.architecture import Architecture, Option
from raynas.errors import SettingError
from raynas.oneshot.differentiable.skips import count_skips


@dataclass(frozen=True, kw_only=True)
class Point:
    """Observations of the watch at the end of an epoch.

    Args:
        epoch: counted from 0.
        derived: the architecture that the search would have ended with.
        metrics: what was reported.
        order: ranking of the operations that have weights, decision by decision.
    """

    epoch: int
    derived: Architecture
    metrics: Mapping[str, float] = field(hash=False)
    order: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        plain = {"epoch": self.epoch, "derived": dict(self.derived), "metrics": dict(self.metrics)}
        return {**plain, "order": list(self.order)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Point":
        """Return the point that ``to_dict`` wrote."""
        derived, metrics = Architecture(state["derived"]), dict(state["metrics"])
        return cls(epoch=state["epoch"], derived=derived, metrics=metrics, order=tuple(state["order"]))


class Stop(NamedTuple):
    """The end of a search: why, and what it found."""

    reason: str
    derived: Architecture


@dataclass(frozen=True, kw_only=True)
class StopRule(ABC):
    """Looks at the history after each epoch.

    Args:
        start: the share of the training, in [0, 1), before which it does not stop.

    Raises:
        SettingError: if the share is out of range.
    """

    start: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1:
            raise SettingError(f"start must be in [0, 1), got {self.start}")

    def __call__(
        self, history: Sequence[Point], progress: float, skips: Mapping[str, frozenset[Option]]
    ) -> Stop | None:
        """Return the end of the search, or None to continue.

        Args:
            history: an entry for each epoch, at least one.
            progress: the share of the training that is done.
            skips: by decision, its options that are skip connections.
        """
        return self.check(history, skips) if progress >= self.start else None

    @abstractmethod
    def check(self, history: Sequence[Point], skips: Mapping[str, frozenset[Option]]) -> Stop | None:
        """Decide as ``should_stop`` does, without regard to the progress."""


@dataclass(frozen=True, kw_only=True)
class SkipCount(StopRule):
    """Stops when a cell has ``n_skips`` skip connections (Liang et al., "DARTS+", 2019, arXiv:1909.06035, criterion 1).

    If an epoch brings more than that at once, the search ends with the last architecture that had no more.

    Args:
        n_skips: so many end the search.
        exempt: cells that do not count; the paper looks at the normal cell.
    """

    n_skips: int = 2
    exempt: tuple[str, ...] = ("reduce",)

    def check(self, history: Sequence[Point], skips: Mapping[str, frozenset[Option]]) -> Stop | None:
        def most(point: Point) -> int:
            return max(count_skips(point.derived, skips, self.exempt).values(), default=0)

        if most(history[-1]) < self.n_skips:
            return None
        fitting = [point for point in history if most(point) <= self.n_skips] or [history[-1]]
        reason = f"a cell has {most(history[-1])} skip connections; kept that of epoch {fitting[-1].epoch}"
        return Stop(reason, fitting[-1].derived)


@dataclass(frozen=True, kw_only=True)
class StableOrder(StopRule):
    """Stops when the ranking of the learnable operations stays the same (Liang et al., "DARTS+", 2019, criterion 1*).

    Learnable are the operations that have weights: convolutions, but neither pooling nor skip connections.

    Args:
        n_epochs: so many rankings in a row must be equal; the paper has 10.

    Raises:
        SettingError: if there are fewer than 2.
    """

    n_epochs: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_epochs < 2:
            raise SettingError(f"n_epochs must be at least 2, got {self.n_epochs}")

    def check(self, history: Sequence[Point], skips: Mapping[str, frozenset[Option]]) -> Stop | None:
        last = history[-self.n_epochs :]
        if len(last) < self.n_epochs or len({point.order for point in last}) > 1 or not last[-1].order:
            return None
        reason = f"the ranking of the learnable operations has been the same for {self.n_epochs} epochs"
        return Stop(reason, last[-1].derived)


@dataclass(frozen=True, kw_only=True)
class EigenvalueJump(StopRule):
    """Stops when the dominant eigenvalue of the Hessian jumps, and goes back to the architecture before that.

    Zela et al., "Understanding and Robustifying Differentiable Architecture Search" (R-DARTS, ICLR 2020,
    arXiv:1909.09656, section 4.3), with the numbers of the authors' program: the mean over ``window`` epochs is
    compared with that ``delta`` epochs earlier.

    Args:
        ratio: a mean so many times the earlier one is a jump.
        window: epochs that are averaged, or fewer at the beginning.
        delta: epochs between the two means, and that the search goes back.
    """

    ratio: float = 1.3
    window: int = 5
    delta: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio <= 1 or min(self.window, self.delta) < 1:
            raise SettingError(f"need ratio > 1, window >= 1 and delta >= 1, got {self}")

    def check(self, history: Sequence[Point], skips: Mapping[str, frozenset[Option]]) -> Stop | None:
        seen = [point for point in history if "dominant_eigenvalue" in point.metrics]
        if len(seen) <= self.delta or seen[-1] is not history[-1]:
            return None
        now, before = self._mean(seen), self._mean(seen[: -self.delta])
        if now <= self.ratio * before:
            return None
        back = seen[-1 - self.delta]
        reason = (
            f"the dominant eigenvalue rose from {before:.3g} to {now:.3g} in {self.delta} looks; "
            f"kept the architecture of epoch {back.epoch}"
        )
        return Stop(reason, back.derived)

    def _mean(self, seen: Sequence[Point]) -> float:
        values = [abs(point.metrics["dominant_eigenvalue"]) for point in seen[-self.window :]]
        return sum(values) / len(values)
