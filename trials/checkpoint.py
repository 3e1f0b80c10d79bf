"""Checkpoints of a trial: a folder with ``meta.json`` and ``state.pt``, neither of which can hold code."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError, one_line

META, STATE = "meta.json", "state.pt"

CHECKPOINT_KEY = "_checkpoint"
"""Key of a trial's config that names the checkpoint folder of an earlier run to continue from."""

State = Mapping[str, Any]
"""State of a trial, tensors in plain containers."""


@dataclass(frozen=True)
class Checkpoint:
    """State of the evaluation of an architecture.

    Args:
        arch: the architecture.
        epoch: number of epochs done.
        state: state of the trial; None if it cannot be resumed.
        train_seconds: time spent so far.
        peak_memory_mb: peak memory so far.
        costs: metrics that were measured before training.
        scores: metrics of the last epoch.
    """

    arch: Architecture
    epoch: int
    state: State | None = None
    train_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    def write(self, directory: str | Path) -> None:
        """Write into ``directory``, each file whole or not at all; ``meta.json`` is last and makes it complete.

        Raises:
            OSError: if it cannot be written.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        meta = {
            "epoch": self.epoch,
            "arch": self.arch.to_config(),
            "train_seconds": self.train_seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "costs": self.costs,
            "scores": self.scores,
        }
        if self.state is not None:
            with Replacing(directory / STATE) as path:
                torch.save(dict(self.state), path)
        with Replacing(directory / META) as path:
            path.write_text(json.dumps(_without_nan(meta)))

    @classmethod
    def read(cls, directory: str | Path) -> "Checkpoint":
        """Read a checkpoint; nothing in it can execute code.

        Raises:
            RaynasError: if it is missing, incomplete, damaged or something else.
        """
        directory = Path(directory)
        try:
            meta = json.loads((directory / META).read_text())
            return cls(
                arch=Architecture(meta["arch"]),
                epoch=_natural(meta["epoch"]),
                state=_read_state(directory / STATE),
                train_seconds=float(meta["train_seconds"]),
                peak_memory_mb=float(meta["peak_memory_mb"]),
                costs={name: float(value) for name, value in meta["costs"].items()},
                scores={name: float(value) for name, value in meta["scores"].items()},
            )
        except FileNotFoundError as error:
            raise RaynasError(f"{error.filename} is missing") from None
        except KeyError as error:
            raise RaynasError(f"{directory / META} lacks {error}") from None
        except Exception as error:
            raise RaynasError(f"{directory} is no checkpoint of raynas's, or damaged: {one_line(error)}") from error


def _read_state(path: Path) -> State | None:
    if not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise TypeError(f"{path.name} holds a {type(state).__name__}")
    return state


def _natural(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"epoch is {value!r}")
    return value


def _without_nan(meta: dict[str, Any]) -> dict[str, Any]:
    """Leave out values that JSON lacks: what could not be measured is as good as absent."""
    finite = {key: {n: v for n, v in meta[key].items() if math.isfinite(v)} for key in ("costs", "scores")}
    return {**meta, **finite}


class Replacing:
    """A context that gives a path to write to and then replaces ``path`` by that file, at once.

    A kill, a full disk or a power cut leaves the earlier file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        return self._draft

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._draft.unlink(missing_ok=True)
            return
        with self._draft.open("rb") as file:
            os.fsync(file.fileno())
        self._draft.replace(self._path)
