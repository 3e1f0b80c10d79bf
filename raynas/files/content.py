"""Reading a file of unknown origin: up to a size, and JSON up to what a schema allows."""

import errno
import json
import stat
from pathlib import Path
from typing import Any

import msgspec

from raynas.errors import ContentError

SMALL_BYTES = 2**20
"""Largest size of a file that describes something: an architecture, a checkpoint, the settings of a training."""


def check_file(path: Path, max_bytes: int) -> None:
    """Refuse to open what is no file, as a pipe or a device might never end, or is too large.

    Raises:
        ContentError: if it is larger than ``max_bytes``.
        OSError: if it does not exist, or is no file.
    """
    try:
        about = path.stat()
    except ValueError as error:  # a zero byte in the path
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    if about.st_size > max_bytes:
        raise ContentError(f"it has more than {max_bytes} bytes")


def read_file(path: Path, max_bytes: int = SMALL_BYTES) -> bytes:
    """Return the content of a file.

    Raises:
        ContentError: if it is larger than ``max_bytes``.
        OSError: if it cannot be read, or is no file.
    """
    check_file(path, max_bytes)
    with path.open("rb") as file:
        return file.read(max_bytes)


def decode_json(content: bytes, schema: "msgspec.json.Decoder[Any]") -> Any:
    """Return the value in a JSON text, in plain containers, once it is known to comply with a schema.

    Args:
        content: UTF-8; objects must not repeat a key, and numbers are finite.
        schema: decodes what is allowed; fields that it does not name are kept.

    Raises:
        ContentError: if it is no JSON, or does not comply.
    """
    try:
        value = msgspec.json.decode(content)
        if content.count(b":") != n_keys(value):  # a colon in a string, or a key that is repeated
            json.loads(content, object_pairs_hook=_without_repetition)
        schema.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ContentError(str(error) or type(error).__name__) from None
    return value


def n_keys(value: object) -> int:
    """Return the number of keys in a decoded JSON value, which is that of colons in its text outside of strings."""
    if type(value) is dict:
        return len(value) + sum([n_keys(v) for v in value.values() if type(v) is dict or type(v) is list])
    if type(value) is list:
        return sum([n_keys(v) for v in value if type(v) is dict or type(v) is list])
    return 0


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ContentError("a key is there twice")
    return found
