"""Architecture: one immutable, hashable point of a search space."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from msgspec.json import Decoder

from raynas.errors import ContentError, SpaceError
from raynas.files.content import decode_json
from raynas.validate import plain

Option = str | int | float | bool
"""A value of a decision. None and tuples of options are options too, though not in this type: most decisions have none,
and ``int(arch["depth"])`` then needs no cast. Tune's searchers break on lists and dicts."""

JsonOptions = dict[str, str | int | float | bool | list[Any] | None]
"""Options as JSON has them, in the schemas of files; ``Architecture`` makes tuples of lists and checks their parts."""

_USUAL = (str, int, bool, type(None))

_OPTIONS: "Decoder[dict[str, Any]]" = Decoder(dict[str, Any])  # of what each value may be, the constructor tells

Config = dict[str, Any]
"""A Tune config: the architecture under "arch", hyperparameters and constants beside it."""


def plain_option(name: str, value: object) -> Option:
    """Return an option in its one form: numbers of numpy (BOHB's) as Python's, lists (JSON's) as tuples.

    Args:
        name: of the decision, for the message.
        value: the option.

    Raises:
        SpaceError: if it can be no option.
    """
    if type(value) in _USUAL:
        return cast(Option, value)
    value = plain(value)
    if isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)):
        return cast(Option, value)
    if isinstance(value, list | tuple):
        return cast(Option, tuple(plain_option(name, part) for part in value))
    raise SpaceError(
        f"decision {name!r} must hold a string, a finite number, True, False, None, or a tuple of these, got {value!r}"
    )


class Architecture(Mapping[str, Option]):
    """One assignment of decisions to options, e.g. ``{"depth": 3, "layers.0.op": "conv3x3"}``.

    Two architectures are equal when they assign the same options, whatever the order; ``space.canonical`` drops
    the inactive decisions first, so that equal networks are equal keys.

    Args:
        options: the option of each decision.

    Raises:
        SpaceError: if a name holds "/" (Tune's separator), or an option can be none.
    """

    __slots__ = ("_hash", "_options")

    def __init__(self, options: Mapping[str, Option]) -> None:
        for name in options:
            if "/" in str(name):
                raise SpaceError(f"a decision's name must not hold '/', got {name!r}")
        self._options = {name: plain_option(name, option) for name, option in options.items()}
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
        return cls(arch)

    def to_json(self) -> str:
        """One line of JSON, decisions in alphabetical order."""
        return json.dumps(self._options, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Read what ``to_json`` wrote; JSON can hold no code.

        Raises:
            SpaceError: if the text is not a JSON object of options.
        """
        try:
            return cls(decode_json(text.encode(errors="replace"), _OPTIONS))
        except ContentError as error:
            raise SpaceError(f"an architecture must be a JSON object of decisions: {error}") from None
