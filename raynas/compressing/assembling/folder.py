"""The folder of a block library: what it was made of, and a record and the weights of each alternative."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from torch import Tensor

from raynas.errors import ArchiveError, ContentError
from raynas.files.content import decode_json, read_file
from raynas.files.inside import refuse_links
from raynas.files.replacing import write_whole
from raynas.files.weights import read_weights, write_weights

ABOUT, GIVEN_RECORD = "library.json", "given.json"

MAX_RECORD_BYTES = 2**20


class Record(Struct, kw_only=True, forbid_unknown_fields=True):
    """An alternative in the place of its block, or the given model.

    Args:
        scores: of the whole model with it, on the validation split.
        costs: of the whole model with it less those of the given model; of the given model itself all of them.
        error: of its outputs relative to the block's, on the validation split.
        start_error: that before its training.
        refused: reason why there is none; "" if there is one.
        code: fingerprints of the user's code that makes it, by part.
        seconds: of its making, training and scoring, shared with the others that were made together.
    """

    scores: dict[str, float] = {}
    costs: dict[str, float] = {}
    error: float = 0.0
    start_error: float = 0.0
    refused: str = ""
    code: dict[str, str] = {}
    seconds: float = 0.0


_RECORD: "msgspec.json.Decoder[Record]" = msgspec.json.Decoder(Record)
_ABOUT: "msgspec.json.Decoder[dict[str, Any]]" = msgspec.json.Decoder(dict[str, Any])


class LibraryFolder:
    """Records and weights on disk; each file is written whole or not at all, and an alternative's record last.

    Args:
        path: the folder; made if missing.
        about: what the records depend on, plain values by name.

    Raises:
        ArchiveError: if the folder cannot be written, or holds a library that depends on something else.
    """

    def __init__(self, path: Path, about: Mapping[str, object]) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            refuse_links(path)
            self._claim(json.loads(json.dumps(about)))
        except OSError as error:
            raise ArchiveError(f"cannot write to {path}: {error.strerror or error}; choose another folder") from None

    def _claim(self, about: Mapping[str, object]) -> None:
        held = self._read(ABOUT, _ABOUT)
        if held is None:
            if any(self.path.iterdir()):
                raise ArchiveError(f"{self.path} holds other files: choose an empty folder for the library of blocks")
            write_whole(self.path / ABOUT, json.dumps(about, indent=2) + "\n")
            return
        for name in sorted({*about, *held}):
            if held.get(name) != about.get(name):
                raise ArchiveError(
                    f"{self.path} holds a library of blocks with another {name} ({_short(held.get(name))}, not "
                    f"{_short(about.get(name))}): choose another folder, or remove it"
                )

    def given(self) -> Record | None:
        """Return the record of the given model; None if there is none yet."""
        return self._record(GIVEN_RECORD)

    def record(self, block: int, alternative: str) -> Record | None:
        """Return the record of an alternative to the block of a number; None if there is none yet."""
        return self._record(_name(block, alternative, "json"))

    def write_given(self, record: Record) -> None:
        """Write the record of the given model."""
        self._write(GIVEN_RECORD, record)

    def write(self, block: int, alternative: str, record: Record, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write the record of an alternative, behind its weights if they are given.

        Raises:
            ArchiveError: if it cannot be written.
        """
        if weights:
            try:
                write_weights(weights, self.path / _name(block, alternative, "safetensors"))
            except OSError as error:
                raise ArchiveError(f"cannot write to {self.path}: {error.strerror or error}") from None
        self._write(_name(block, alternative, "json"), record)

    def weights(self, block: int, alternative: str) -> Mapping[str, Tensor]:
        """Return the weights of an alternative; none if it has none.

        Raises:
            RaynasError: if the file is damaged.
        """
        path = self.path / _name(block, alternative, "safetensors")
        return read_weights(path) if path.exists() else {}

    def _write(self, name: str, record: Record) -> None:
        try:
            write_whole(self.path / name, msgspec.json.format(msgspec.json.encode(record).decode()) + "\n")
        except OSError as error:
            raise ArchiveError(f"cannot write to {self.path}: {error.strerror or error}") from None

    def _record(self, name: str) -> Record | None:
        held = self._read(name, _RECORD)
        if held is None:
            return None
        record = msgspec.convert(held, Record)
        numbers = [*record.scores.values(), *record.costs.values(), record.error, record.start_error]
        if not all(map(math.isfinite, numbers)):
            raise ArchiveError(f"{self.path / name} is damaged (a number is not finite): remove it to make it again")
        return record

    def _read(self, name: str, schema: "msgspec.json.Decoder[Any]") -> Any:
        path = self.path / name
        try:
            return decode_json(read_file(path, MAX_RECORD_BYTES), schema)
        except FileNotFoundError:
            return None
        except (ContentError, OSError) as error:
            raise ArchiveError(f"{path} is damaged ({error}): remove it to make it again") from None


def _name(block: int, alternative: str, suffix: str) -> str:
    """Return a name that every file system takes; those of alternatives hold nothing but letters, digits and .:+-_."""
    return f"{block:04d}-{alternative.replace(':', '=')}.{suffix}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."
