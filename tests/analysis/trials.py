"""Trials of a made-up search, whose scores follow from their decisions."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation, Status


def evaluation(
    trial: str,
    accuracy: float | None,
    arch: Mapping[str, Any] | None = None,
    status: Status = "finished",
    **metrics: float,
) -> Evaluation:
    known = metrics if accuracy is None else {"accuracy": accuracy, **metrics}
    return Evaluation(Architecture(arch or {"op": "conv"}), known, fidelity=9, status=status, trial=trial)


def many(n: int, noise: float = 0.05, seed: int = 0) -> list[Evaluation]:
    """``op`` matters most, ``depth`` less, ``kernel`` not at all; ``width`` is there for convolutions alone."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        op, depth = str(rng.choice(["conv", "pool", "skip"])), int(rng.integers(1, 4))
        arch = {"op": op, "depth": depth, "kernel": int(rng.choice([3, 5]))}
        arch |= {"width": int(rng.choice([16, 32]))} if op == "conv" else {}
        score = {"conv": 0.8, "pool": 0.5, "skip": 0.4}[op] + 0.05 * depth + noise * float(rng.normal())
        found.append(evaluation(f"{i + 1:05d}", score, arch, params=100.0 * depth))
    return found


def archived(trials: Iterable[tuple[Status, Iterable[float]]], **session: Any) -> Archive:
    """The archive of trials that ended so, after such accuracies, an epoch each."""
    archive = Archive()
    if session:
        archive.append("session", **session)
    for i, (status, scores) in enumerate(trials, 1):
        trial, scores = f"{i:05d}", list(scores)
        archive.append("proposed", trial=trial, config={"arch": {"op": f"o{i}"}}, costs={})
        for epoch, score in enumerate(scores, 1):
            metrics = {"accuracy": score, "train_seconds": 10.0 * epoch}
            archive.append("result", trial=trial, fidelity=epoch, metrics=metrics)
        last = {"accuracy": scores[-1], "train_seconds": 10.0 * len(scores)} if scores and status != "failed" else {}
        archive.append("ended", trial=trial, status=status, fidelity=len(scores), metrics=last, error="")
    return archive
