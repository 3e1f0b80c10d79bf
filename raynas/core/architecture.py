"""Architecture: one immutable, hashable point of a search space."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from raynas.errors import SpaceError

Option = str | int | float | bool
"""A value of a decision: a scalar, because Tune's searchers break on anything else."""

Config = dict[str, Any]
"""A Tune config: the architecture under "arch", hyperparameters and constants beside it."""


class Architecture(Mapping[str, Option]):
    """One assignment of decisions to options, e.g. ``{"depth": 3, "layers.0.op": "conv3x3"}``.

    Two architectures are equal when they assign the same options, whatever the order; ``space.canonical`` drops
    the inactive decisions first, so that equal networks are equal keys.

    Args:
        options: the option of each decision.

    Raises:
        SpaceError: if a name holds "/" (Tune's separator), or an option is not a scalar.
    """

    __slots__ = ("_hash", "_options")

    def __init__(self, options: Mapping[str, Option]) -> None:
        for name, option in options.items():
            if "/" in str(name):
                raise SpaceError(f"a decision's name must not hold '/', got {name!r}")
            if not isinstance(option, str | int | float | bool):
                raise SpaceError(f"decision {name!r} must hold a string or a number, got {option!r}")
        self._options = dict(options)
        self._hash = hash(frozenset(self._options.items()))

    def __getitem__(self, name: str) -> Option:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Architecture):
            return self._options == other._options
        return NotImplemented

    def __repr__(self) -> str:
        return f"Architecture({self._options})"

    def __reduce__(self) -> tuple[type["Architecture"], tuple[dict[str, Option]]]:
        # String hashes differ between processes, so the cached one must not travel.
        return Architecture, (self._options,)

    @property
    def key(self) -> str:
        """Ten hexadecimal digits that name this architecture in files and logs, the same on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:10]

    def to_config(self) -> dict[str, Option]:
        """Return the plain dict that a Tune config holds under ``"arch"``."""
        return dict(self._options)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> "Architecture":
        """Read the architecture that a Tune config holds under ``"arch"``.

        Raises:
            SpaceError: if there is none, or it is malformed.
        """
        arch = config.get("arch")
        if not isinstance(arch, Mapping):
            raise SpaceError(
                f"the config has no architecture under 'arch' (keys: {sorted(config)}); "
                "search with param_space={'arch': space.param_space(), ...}"
            )
        # BOHB hands out numpy scalars, whose item() is the plain value.
        return cls({name: option.item() if hasattr(option, "item") else option for name, option in arch.items()})

    def to_json(self) -> str:
        """One line of JSON, decisions in alphabetical order."""
        return json.dumps(self._options, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Read what ``to_json`` wrote; JSON can hold no code.

        Raises:
            SpaceError: if the text is not a JSON object of scalars.
        """
        try:
            options = json.loads(text)
        except ValueError as error:
            raise SpaceError(f"an architecture must be a JSON object of decisions: {error}") from None
        if not isinstance(options, dict):
            raise SpaceError(f"an architecture must be a JSON object of decisions, got {type(options).__name__}")
        return cls(options)
