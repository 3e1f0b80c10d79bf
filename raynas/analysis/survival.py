"""Survival of trials under early stopping: the number that reached each rung."""

from collections.abc import Iterable
from dataclasses import dataclass

from raynas.core.archive import Record

MAX_RUNGS = 20
"""Maximum number of rungs; a rule that may stop a trial after any epoch has more, of which some are shown."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A fidelity at which trials were stopped, or the last one.

    Args:
        fidelity: epochs, or reports of a function.
        n_reached: trials that were trained up to it at least, those still running included.
        n_stopped: trials stopped at it, or since the rung before.
        n_failed: trials that failed at it, or since the rung before.
    """

    fidelity: int
    n_reached: int
    n_stopped: int
    n_failed: int


@dataclass(frozen=True, kw_only=True)
class Survival:
    """Survival of the trials of a search.

    Args:
        rungs: in ascending order of fidelity; none if no trial was stopped early.
        n_trials: trials that reported at least once, or ended.
    """

    rungs: tuple[Rung, ...]
    n_trials: int


def survival(records: Iterable[Record]) -> Survival:
    """Count the trials that reached each rung.

    Args:
        records: of an archive.
    """
    reached: dict[str, int] = {}
    ends: dict[str, tuple[str, int]] = {}
    for record in records:
        if record["event"] in ("result", "ended"):
            reached[record["trial"]] = max(reached.get(record["trial"], 0), record["fidelity"])
        if record["event"] == "ended":
            ends[record["trial"]] = (record["status"], record["fidelity"])
    levels = _levels({fidelity for status, fidelity in ends.values() if status == "stopped"}, reached.values())
    rungs = []
    for before, level in zip([-1, *levels], levels, strict=False):
        here = [status for status, fidelity in ends.values() if before < fidelity <= level]
        rungs.append(
            Rung(
                fidelity=level,
                n_reached=sum(fidelity >= level for fidelity in reached.values()),
                n_stopped=here.count("stopped"),
                n_failed=here.count("failed"),
            )
        )
    return Survival(rungs=tuple(rungs), n_trials=len(reached))


def _levels(stopped_at: set[int], reached: Iterable[int]) -> list[int]:
    """Return the fidelities to show; all that trials were stopped at, if these are not too many, and the last."""
    if not stopped_at:
        return []
    levels = sorted(stopped_at)
    if len(levels) >= MAX_RUNGS:
        levels = [levels[i * (len(levels) - 1) // (MAX_RUNGS - 2)] for i in range(MAX_RUNGS - 1)]
    return sorted({*levels, max(reached)})
