"""Checkpoints of a trial: a folder with ``meta.json`` and ``state.pt``, neither of which can hold code."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct
from msgspec.json import Decoder

from raynas.core.architecture import Architecture, JsonOptions
from raynas.core.measurement import Provenance, as_plain, from_plain, with_provenance
from raynas.errors import ContentError, RaynasError, one_line
from raynas.files.content import check_file, decode_json, read_file
from raynas.files.replacing import Replacing, write_whole
from raynas.files.unpacked import check_zip
from raynas.files.weights import check_stored

META, STATE = "meta.json", "state.pt"

CHECKPOINT_KEY = "_checkpoint"
"""Key of a trial's config that names the checkpoint folder of an earlier run to continue from."""

MAX_STATE_BYTES = 64 * 2**30
"""Largest size of ``state.pt``: a network of two billion parameters, with the moments of its optimizer."""

MAX_DEPTH = 50
"""Containers in containers that a state may have."""

State = Mapping[str, Any]
"""State of a trial, tensors in plain containers."""


class _Meta(Struct):
    """Schema of ``meta.json``."""

    epoch: Annotated[int, Meta(ge=0, le=10**9)]
    arch: JsonOptions
    train_seconds: Annotated[float, Meta(ge=0)]
    peak_memory_mb: Annotated[float, Meta(ge=0)]
    costs: dict[str, float]
    scores: dict[str, float]
    provenance: dict[str, Provenance] = {}
    state_bytes: Annotated[int, Meta(ge=0)] | None = None


_META: "Decoder[_Meta]" = Decoder(_Meta)


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
            "provenance": as_plain(self.costs),
            "scores": self.scores,
        }
        if self.state is not None:
            with Replacing(directory / STATE) as path:
                torch.save(dict(self.state), path)
                meta["state_bytes"] = path.stat().st_size
        write_whole(directory / META, json.dumps(_without_nan(meta)))

    @classmethod
    def read(cls, directory: str | Path) -> "Checkpoint":
        """Read a checkpoint; nothing in it can execute code.

        Raises:
            RaynasError: if it is missing, incomplete, damaged or something else.
        """
        directory = Path(directory)
        try:
            meta = read_meta(directory)
            refuse_cut(meta, _size(directory / STATE))
            meta.pop("state_bytes", None)
            meta["costs"] = with_provenance(meta["costs"], from_plain(meta.pop("provenance", {})))
            return cls(**{**meta, "arch": Architecture(meta["arch"]), "state": _read_state(directory / STATE)})
        except FileNotFoundError as error:
            raise RaynasError(f"{error.filename} is missing") from None
        except Exception as error:  # torch's unpickler raises what its input makes of it
            raise RaynasError(f"{directory} is no checkpoint of raynas's, or damaged: {one_line(error)}") from error


def read_meta(directory: Path) -> dict[str, Any]:
    """Return the content of ``meta.json`` in the folder of a checkpoint.

    Raises:
        ContentError: if it is damaged.
        OSError: if it cannot be read.
    """
    return decode_meta(read_file(directory / META))


def whole_epoch(directory: Path) -> int:
    """Return the epoch of a checkpoint.

    Raises:
        ContentError: if the checkpoint is damaged, or not whole.
        OSError: if it cannot be read.
    """
    meta = read_meta(directory)
    refuse_cut(meta, _size(directory / STATE))
    return int(meta["epoch"])


def decode_meta(content: bytes) -> dict[str, Any]:
    """Return the content of a ``meta.json``.

    Raises:
        ContentError: if it is damaged.
    """
    meta = decode_json(content, _META)
    return {name: meta[name] for name in _Meta.__struct_fields__ if name in meta}


def refuse_cut(meta: Mapping[str, Any], state_bytes: int | None) -> None:
    """Refuse a checkpoint that was not copied to its end, as ``meta.json`` may have been copied first.

    Args:
        meta: the content of ``meta.json``.
        state_bytes: size of ``state.pt``; None if there is none.

    Raises:
        ContentError: if it was not.
    """
    size = meta.get("state_bytes")
    if size is not None and size != state_bytes:
        raise ContentError(f"{STATE} has {state_bytes or 0} bytes of {size}")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _read_state(path: Path) -> State | None:
    """Read a state: tensors and plain values, of no other size in memory than in the file."""
    if not path.exists():
        return None
    check_file(path, MAX_STATE_BYTES)
    with path.open("rb") as file:
        check_zip(file, compressed=False)
        state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ContentError(f"{path.name} holds a {type(state).__name__}")
    _check_plain(state)
    return state


def _check_plain(value: object, depth: int = 0) -> None:
    """Refuse what no trial saves: tensors that claim far more than is stored of them, bottomless containers."""
    if depth > MAX_DEPTH:
        raise ContentError(f"{STATE} has more than {MAX_DEPTH} containers in one another")
    if isinstance(value, torch.Tensor):
        check_stored(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_plain(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, depth + 1)


def _without_nan(meta: dict[str, Any]) -> dict[str, Any]:
    """Leave out values that JSON lacks: what could not be measured is as good as absent."""
    finite = {key: {n: v for n, v in meta[key].items() if math.isfinite(v)} for key in ("costs", "scores")}
    peak = meta["peak_memory_mb"]
    return {**meta, **finite, "peak_memory_mb": peak if math.isfinite(peak) else 0.0}
