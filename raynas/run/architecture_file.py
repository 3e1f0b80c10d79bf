"""Architectures in JSON: in a text, or in a file such as the ``best/architecture.json`` of a search."""

from pathlib import Path

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, SpaceError

MAX_BYTES = 2**20
"""No architecture needs more; a file that has more is not read."""


def read_architecture(path: str | Path, space: SearchSpace) -> Architecture:
    """Return the architecture of ``space`` in a JSON file.

    Raises:
        RaynasError: if the file cannot be read, is no JSON object of scalars, or not an architecture of the space.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SpaceError(f"it has more than {MAX_BYTES} bytes")
        return space.canonical(Architecture.from_json(content.decode()))
    except OSError as error:
        raise RaynasError(f"cannot read the architecture {str(path)!r}: {error.strerror}") from None
    except (RaynasError, ValueError, RecursionError) as error:
        raise RaynasError(f"{path} holds no architecture of {space.name}: {error}") from None
