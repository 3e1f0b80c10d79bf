"""Files of latency predictors: tensors and a description, as safetensors, which can hold no code."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, convert
from msgspec.json import Decoder, encode
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from raynas.core.metric import Candidate, Metric
from raynas.core.space import SearchSpace
from raynas.errors import ContentError, RaynasError
from raynas.files.content import check_file, decode_json
from raynas.files.replacing import Replacing
from raynas.metrics.latency_predictor.error import PredictionError
from raynas.metrics.latency_predictor.predictor import STORED, LatencyPredictor, predicted_metric

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


@dataclass(frozen=True)
class StoredPredictor:
    """The content of a file, which becomes a predictor as soon as the space of the networks is known.

    As the measurement of a metric it takes the space of each candidate.

    Args:
        path: the file, for messages.
        tensors: of the model.
        description: the rest.
    """

    path: str
    tensors: Mapping[str, NDArray[np.generic]] = field(repr=False)
    description: _Description = field(repr=False)
    _made: list[tuple[SearchSpace, LatencyPredictor]] = field(default_factory=list, repr=False, compare=False)

    def of(self, space: SearchSpace) -> LatencyPredictor:
        """Return the predictor of a space's networks.

        Raises:
            RaynasError: if it is of another space, or the tensors do not fit.
        """
        if not self._made or self._made[0][0] is not space:
            self._made[:] = [(space, self._predictor(space.architecture_space))]
        return self._made[0][1]

    def __call__(self, candidate: Candidate) -> float:
        """Return the predicted latency of a candidate, in ms."""
        return self.of(candidate.space).measure(candidate)

    @property
    def identity(self) -> str:
        """Equal for two predictors that predict the same latencies."""
        content = hashlib.sha256(encode([self.description.fingerprint, self.description.labels]))
        for name, tensor in sorted(self.tensors.items()):
            content.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
        return f"{self.description.name} {content.hexdigest()[:16]}"

    @property
    def error(self) -> PredictionError:
        """On networks that the model did not see."""
        return convert(self.description.error, PredictionError, from_attributes=True)

    def metric(self, name: str = "", *, final: Metric | None = None) -> Metric:
        """Return the predicted latency as a metric; see ``LatencyPredictor.metric``."""
        return predicted_metric(self.description.device, self.error, self, name, final)

    def __str__(self) -> str:
        return f"latency on {self.description.device} predicted by {self.description.name}: {self.error}"

    def _predictor(self, space: SearchSpace) -> LatencyPredictor:
        description = self.description
        try:
            if description.fingerprint != space.fingerprint:
                raise ContentError(f"it is of networks of another space or size: {description.space}, not {space.name}")
            predictor = LatencyPredictor(
                space=space,
                device=description.device,
                name=description.name,
                model=STORED[description.name].restored(self.tensors, description.labels),
                labels=description.labels,
                error=self.error,
                provenance=description.provenance,
            )
            _check(predictor)
        except ContentError as error:
            raise RaynasError(f"{self.path} is no latency predictor of this space: {error}; fit it again") from None
        return predictor

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_made": []}  # a space may be large, and comes with the candidate


def read_predictor(path: Path | str) -> StoredPredictor:
    """Read the file of a predictor.

    Raises:
        RaynasError: if the file is none of a predictor, or cannot be read.
    """
    try:
        tensors, description = _read(Path(path))
        if description.name not in STORED:
            raise ContentError(f"its model {description.name!r} is none of {', '.join(STORED)}")
    except OSError as error:
        raise RaynasError(f"cannot read the latency predictor {str(path)!r}: {error.strerror or error}") from None
    except ContentError as error:
        raise RaynasError(f"{path} is no latency predictor: {error}; fit it again") from None
    return StoredPredictor(str(path), tensors, description)


def load_predictor(path: Path | str, space: SearchSpace) -> LatencyPredictor:
    """Read a predictor of a space's networks from a file.

    Raises:
        RaynasError: if the file is none of a predictor, or of another space, or cannot be read.
    """
    return read_predictor(path).of(space)


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
