"""Files of latency predictors: tensors and a description, as safetensors, which can hold no code."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, convert
from msgspec.json import Decoder, encode
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from raynas.core.space import SearchSpace
from raynas.errors import ContentError, RaynasError
from raynas.files.content import check_file, decode_json
from raynas.files.replacing import Replacing
from raynas.metrics.latency_predictor.error import PredictionError
from raynas.metrics.latency_predictor.predictor import STORED, LatencyPredictor

MAX_BYTES = 64 * 2**20
"""Largest size of a file."""

_KEY = "raynas.latency_predictor"

Share = Annotated[float, Meta(ge=0, le=1)]
Correlation = Annotated[float, Meta(ge=-1, le=1)]


class _Error(Struct, kw_only=True, forbid_unknown_fields=True):
    n: Annotated[int, Meta(ge=2)]
    within: Share
    spearman: Correlation
    kendall: Correlation
    bias: float
    how: str


class _Description(Struct, kw_only=True):
    space: str
    fingerprint: str
    device: str
    name: str
    labels: list[str]
    error: _Error
    provenance: dict[str, str]


_DESCRIPTION: "Decoder[Any]" = Decoder(_Description)


def save_predictor(predictor: LatencyPredictor, path: Path | str) -> None:
    """Write a predictor to a file, at once or not at all.

    Raises:
        OSError: if the file cannot be written.
    """
    description = {
        "space": predictor.space.name,
        "fingerprint": predictor.space.fingerprint,
        "device": predictor.device,
        "name": predictor.name,
        "labels": list(predictor.labels),
        "error": asdict(predictor.error),
        "provenance": dict(predictor.provenance),
    }
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in predictor.model.tensors().items()}
    with Replacing(Path(path)) as draft:
        save_file(tensors, draft, {_KEY: encode(description).decode()})


def load_predictor(path: Path | str, space: SearchSpace) -> LatencyPredictor:
    """Read a predictor of a space's networks from a file.

    Raises:
        RaynasError: if the file is none of a predictor, or of another space.
        OSError: if it cannot be read.
    """
    space = space.architecture_space
    try:
        tensors, description = _read(Path(path))
        if description.fingerprint != space.fingerprint:
            raise ContentError(f"it is of networks of another space or size: {description.space}, not {space.name}")
        if description.name not in STORED:
            raise ContentError(f"its model {description.name!r} is none of {', '.join(STORED)}")
        predictor = LatencyPredictor(
            space=space,
            device=description.device,
            name=description.name,
            model=STORED[description.name].restored(tensors, description.labels),
            labels=description.labels,
            error=convert(description.error, PredictionError, from_attributes=True),
            provenance=description.provenance,
        )
        _check(predictor)
    except ContentError as error:
        raise RaynasError(f"{path} is no latency predictor of this space: {error}; fit it again") from None
    return predictor


def _read(path: Path) -> tuple[Mapping[str, NDArray[np.generic]], _Description]:
    check_file(path, MAX_BYTES)
    try:
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ContentError(str(error)) from None
    if text is None:
        raise ContentError("it has no description")
    decode_json(text.encode(), _DESCRIPTION)
    return tensors, _DESCRIPTION.decode(text)


def _check(predictor: LatencyPredictor) -> None:
    """Predict one network, which fails where tensors do not fit the features of the space."""
    try:
        (value,) = predictor.predict([predictor.space.default]).ms
    except (ValueError, IndexError, KeyError, RuntimeError) as error:
        raise ContentError(f"its tensors do not fit the features of the space ({error})") from None
    if not np.isfinite(value):
        raise ContentError("it predicts no finite number")
