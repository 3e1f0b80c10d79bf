"""Files of tables of latencies: JSON, complying with a schema."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, convert, to_builtins
from msgspec.json import Decoder, encode, format

from raynas.core.architecture import Architecture, JsonOptions
from raynas.core.measurement import Fact
from raynas.errors import ContentError, RaynasError, SpaceError
from raynas.files.content import decode_json, read_file
from raynas.files.replacing import write_whole
from raynas.metrics.latency_predictor.error import PredictionError
from raynas.metrics.latency_table.correction import N_TERMS
from raynas.metrics.latency_table.table import LatencyTable, Operation, TimedNetwork

MAX_BYTES = 64 * 2**20
"""Largest size of a file; ten thousand operations take two."""

Ms = Annotated[float, Meta(gt=0, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Weights = Annotated[list[float], Meta(min_length=N_TERMS, max_length=N_TERMS)]
Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]
Correlation = Annotated[float, Meta(ge=-1, le=1)]


class _Operation(Struct, kw_only=True):
    title: Annotated[str, Meta(max_length=500)]
    ms: Ms
    macs: Count
    elements: Count
    doubt: str


class _Network(Struct, kw_only=True):
    arch: JsonOptions
    ms: Ms
    doubt: str


class _Error(Struct, kw_only=True):
    n: Annotated[int, Meta(ge=2)]
    within: Share
    spearman: Correlation
    kendall: Correlation
    bias: float
    how: str


class _Table(Struct, kw_only=True):
    latency_table: Annotated[int, Meta(ge=1, le=1)]
    space: Annotated[str, Meta(min_length=1)]
    measurement: str
    batch_size: Annotated[int, Meta(ge=1)]
    facts: dict[str, Fact]
    operations: dict[Key, _Operation]
    complete: bool
    corrected_by: list[_Network]
    left_out: list[_Network]
    correction: Weights
    error: _Error | None
    plain_error: _Error | None


_TABLE: "Decoder[Any]" = Decoder(_Table)


def save_table(table: LatencyTable, path: Path | str) -> None:
    """Write a table to a file, at once or not at all.

    Raises:
        OSError: if the file cannot be written.
    """
    content = {
        "latency_table": 1,
        "space": table.space,
        "measurement": table.measurement,
        "batch_size": table.batch_size,
        "facts": dict(table.facts),
        "operations": {key: asdict(operation) for key, operation in table.operations.items()},
        "complete": table.complete,
        "corrected_by": list(map(_plain, table.corrected_by)),
        "left_out": list(map(_plain, table.left_out)),
        "correction": list(table.correction),
        "error": table.error and asdict(table.error),
        "plain_error": table.plain_error and asdict(table.plain_error),
    }
    write_whole(Path(path), format(encode(to_builtins(content)), indent=1).decode())


def _plain(network: TimedNetwork) -> dict[str, object]:
    return {"arch": dict(network.arch), "ms": network.ms, "doubt": network.doubt}


def load_table(path: Path | str) -> LatencyTable:
    """Read a table from a file.

    Raises:
        RaynasError: if the file is none of a table of latencies, or cannot be read.
    """
    try:
        content = read_file(Path(path), MAX_BYTES)
        decode_json(content, _TABLE)
        found: _Table = _TABLE.decode(content)
        return LatencyTable(
            space=found.space,
            measurement=found.measurement,
            batch_size=found.batch_size,
            facts=found.facts,
            operations={
                key: convert(operation, Operation, from_attributes=True) for key, operation in found.operations.items()
            },
            complete=found.complete,
            corrected_by=list(map(_network, found.corrected_by)),
            left_out=list(map(_network, found.left_out)),
            correction=tuple(found.correction),
            error=_error(found.error),
            plain_error=_error(found.plain_error),
        )
    except OSError as error:
        raise RaynasError(f"cannot read the table of latencies {str(path)!r}: {error.strerror}") from None
    except (ContentError, SpaceError) as error:
        raise RaynasError(f"{path} is no table of latencies: {error}; make it by raynas profile") from None


def _network(stored: _Network) -> TimedNetwork:
    return TimedNetwork(arch=Architecture(stored.arch), ms=stored.ms, doubt=stored.doubt)  # type: ignore[arg-type]


def _error(stored: _Error | None) -> PredictionError | None:
    return None if stored is None else convert(stored, PredictionError, from_attributes=True)
