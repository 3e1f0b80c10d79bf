"""Architectures in JSON: in a text, or in a file such as the ``best/architecture.json`` of a search."""

from pathlib import Path

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.files.content import read_file


def read_architecture(path: str | Path, space: SearchSpace) -> Architecture:
    """Return the architecture of ``space`` in a JSON file.

    Raises:
        RaynasError: if the file cannot be read, is no JSON object of scalars, or not an architecture of the space.
    """
    try:
        return space.canonical(Architecture.from_json(read_file(Path(path).expanduser()).decode()))
    except OSError as error:
        raise RaynasError(f"cannot read the architecture {str(path)!r}: {error.strerror}") from None
    except (RaynasError, ValueError, RecursionError) as error:
        raise RaynasError(f"{path} holds no architecture of {space.name}: {error}") from None
