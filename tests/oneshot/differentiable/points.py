"""Histories made up for stop rules and warnings."""

from raynas.core.architecture import Architecture
from raynas.oneshot.differentiable.stopping import Point

SKIPS: dict[str, frozenset[str | int | float | bool]] = {
    f"{cell}.{i}": frozenset(["skip"]) for cell in ("normal", "reduce") for i in range(3)
}


def point(epoch: int, n_skips: int, eigenvalue: float | None = None, reduce: str = "conv") -> Point:
    options = {f"normal.{i}": "skip" if i < n_skips else "conv" for i in range(3)}
    metrics = {} if eigenvalue is None else {"dominant_eigenvalue": eigenvalue}
    return Point(epoch=epoch, derived=Architecture({**options, "reduce.0": reduce}), metrics=metrics)
