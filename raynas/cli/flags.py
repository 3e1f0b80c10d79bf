"""From an argument vector to flags in one spelling, with the names that were chosen from the tables.

A flag is the path of an option in a YAML file: ``--strategy.sampler gp`` is ``strategy: {sampler: gp}``. The options of
a file become flags in front of those of the command line, so that the same code reads both, flags win, and nothing is
read and then ignored.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from raynas.cli.catalogue import KINDS, catalogue
from raynas.cli.from_files import refuse_from_file
from raynas.cli.options import names_code
from raynas.errors import ContentError, RaynasError, UnknownNameError
from raynas.files.content import read_file
from raynas.files.options_text import MAX_OPTIONS_BYTES, decode_yaml

DEMO: Mapping[str, str] = {
    "space": "cnn",
    "strategy": "auto",
    "early_stopping": "asha",
    "trainable": "train",
    "method": "single_path",
}
"""The default choice from each table."""

DEMO_DATA = "digits"

DEMO_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "evolution": {"population_size": 10},  # a sixth of the trials
    # Few images to train on and many to validate on: otherwise most networks get nearly all of these small images
    # right, and there is nothing to search for. Nine epochs are the third rung of ASHA.
    "train": {"epochs": 9, "data_fraction": 0.3, "valid_share": 0.5},
    "subnet": {"epochs": 30},  # each step trains only a part of the shared weights
}
"""Fields of table entries whose default here is not that of the class; those of training for the demo's data alone."""

DEMO_SEARCH = (
    *("--space.channels", "8", "--space.filters", "8", "16", "32", "--data", "scattered_digits"),
    *("--trainable.valid_share", "0.5", "--constraints", "params <= 5000", "--num_samples", "30", "--tolerance", "0"),
    # Early on these networks have learned little, so successive halving may draw lots: a guess, from one seed.
    *("--early_stopping", "none"),
)
"""The flags in ``--demo``: small networks for digits that must be found before they can be read."""

SHORT: Mapping[str, str] = {
    **{option: f"{option}.name" for option in KINDS},
    "data": "trainable.data",
    "epochs": "trainable.epochs",
    "model": "model.name",
    "outputs": "trainable.outputs",
    "teacher": "trainable.teacher",
    **{
        name: f"model.{name}"
        for name in ("weights", "untrained", "input", "vary", "keep", "divisor", "importance", "losses", "batches")
    },
}
"""Options that may be written shorter, except in a command where the short name is another option."""


def expand(argv: Sequence[str], own: Collection[str] = ()) -> list[str]:
    """Return flags in one spelling, those of ``--config FILE`` in front.

    ``--data=mnist`` becomes ``--trainable.data=mnist``.

    Args:
        argv: the command line.
        own: options of the command whose names are short for others elsewhere.

    Raises:
        RaynasError: if the file cannot be read, or sets what only a flag may.
    """
    rest: list[str] = []
    tokens = iter(argv)
    for token in tokens:
        flag, equals, _ = token.partition("=")
        if flag == "--config":
            _ = equals or next(tokens, "")
        else:
            rest.append(_canonical(token, own))
    return [*flags_in_files(argv, rest, own), *rest]


def with_demo(argv: Sequence[str]) -> list[str]:
    """Return the arguments with ``DEMO_SEARCH`` in front in the place of ``--demo``, so that other flags win."""
    rest = [token for token in argv if token != "--demo"]
    return [*DEMO_SEARCH, *rest] if len(rest) < len(argv) else rest


def flags_in_files(argv: Sequence[str], typed: Sequence[str], own: Collection[str] = ()) -> list[str]:
    """Return the flags that represent the options in the files of ``--config``.

    Args:
        argv: the command line.
        typed: its flags in canonical spelling, without those of files.
        own: see ``expand``.

    Raises:
        RaynasError: if a file cannot be read, or sets what only a flag may.
    """
    flags: list[str] = []
    for i, token in enumerate(argv):
        if token.partition("=")[0] == "--config":
            file = Path(value_of(argv, i))
            in_file = flags_of(read_options(file), own)
            refuse_from_file(file, in_file, typed)
            flags += in_file
    return flags


def texts_in(tokens: Sequence[str]) -> dict[str, str]:
    """Return the values that flags in canonical spelling set, as text by path."""
    texts: dict[str, str] = {}
    key = ""
    for token in tokens:
        if token.startswith("--"):
            key, _, value = token[2:].partition("=")
            texts[key] = value
        else:
            texts[key] = f"{texts.get(key, '')} {token}".strip()
    return texts


def typed(argv: Sequence[str], own: Collection[str] = ()) -> list[str]:
    """Return the flags in one spelling, without those of files."""
    return [_canonical(token, own) for token in argv if token.partition("=")[0] != "--config"]


def read_options(path: Path) -> dict[str, object]:
    """Return the options in a YAML file.

    Raises:
        RaynasError: if it cannot be read, or is no mapping.
    """
    try:
        content = decode_yaml(read_file(path, MAX_OPTIONS_BYTES))
        if not isinstance(content, dict | None):
            raise RaynasError(f"{path} must hold options, one 'name: value' a line, got {type(content).__name__}")
        return msgspec.convert(content or {}, dict[str, object])
    except OSError as error:
        raise RaynasError(f"cannot read the options in {str(path)!r}: {error.strerror}") from None
    except (ContentError, msgspec.ValidationError) as error:
        raise RaynasError(f"{path} is not a YAML file of options: {error}") from None


def flags_of(options: Mapping[str, object], own: Collection[str] = ()) -> list[str]:
    """Return the flags that represent options, which are nested or by path; see ``expand`` for ``own``.

    Raises:
        RaynasError: if a value would be a flag.
    """
    return [_canonical(token, own) for token in _flags(options)]


def _flags(content: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flags(value, f"{key}.")
        elif isinstance(value, list) and not prefix.startswith("hyperparameters"):
            yield f"--{key}"
            yield from (_item(key, each) for each in value)
        else:
            yield f"--{key}={_text(value)}"


def _item(key: str, value: object) -> str:
    text = _text(value)
    if text.startswith("-") and not isinstance(value, int | float):
        raise RaynasError(f"{key} cannot hold {text!r} in a file: it looks like a flag; type it as --{key}={text}")
    return text


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    return str(value) if isinstance(value, float) else json.dumps(value, default=str)


def _canonical(token: str, own: Collection[str]) -> str:
    if not token.startswith("--"):
        return token
    flag, equals, value = token[2:].partition("=")
    flag = flag.replace("-", "_")
    if f"{flag}.".startswith("trainable.method."):  # where settings in Python have it
        flag = flag.removeprefix("trainable.")
    return f"--{flag if flag in own else SHORT.get(flag, flag)}{equals}{value}"


def given(tokens: Sequence[str]) -> frozenset[str]:
    """Return the options, by path, that flags in canonical spelling set."""
    return frozenset(token[2:].partition("=")[0] for token in tokens if token.startswith("--"))


def demo_fields(name: str, tokens: Sequence[str]) -> Mapping[str, object]:
    """Return the fields of a table's entry that have another default here than in its class."""
    if name == "train" and last_value(tokens, "trainable.data") not in (None, DEMO_DATA):
        return {"epochs": DEMO_FIELDS[name]["epochs"]}
    return DEMO_FIELDS.get(name, {})


def demo_only(name: str, tokens: Sequence[str]) -> frozenset[str]:
    """Return the fields of a table's entry whose default here is for the demo's data alone, if no data is chosen."""
    is_open = name == "train" and "trainable.data" not in given(tokens)
    return frozenset(DEMO_FIELDS[name].keys() - {"epochs"} if is_open else ())


def value_of(tokens: Sequence[str], i: int) -> str:
    """Return the value of the flag at ``i``; "" if there is none."""
    _, equals, value = tokens[i].partition("=")
    return value if equals else "".join(tokens[i + 1 : i + 2])


def chosen(tokens: Sequence[str], options: Sequence[str] = tuple(KINDS)) -> dict[str, str]:
    """Return the name chosen from the table of each option.

    A model or a space of the user's is the name of the space.

    Raises:
        RaynasError: if both a space and a model are named.
        UnknownNameError: if a table does not have it.
    """
    typed = {option: last_value(tokens, f"{option}.name") for option in options}
    names = {option: DEMO[option] if name is None else name for option, name in typed.items()}
    for option, name in names.items():
        if option == "space" and names_code(name):
            continue
        if name not in catalogue()[option]:
            own = ["package.module:name of yours"] if option == "space" else []
            raise UnknownNameError(KINDS[option], name, [*catalogue()[option], *own])
    if "space" in names and (model := model_in(tokens)):
        if typed["space"] is not None:
            raise RaynasError("a model of yours takes the place of the space: give --model or --space, not both")
        names["space"] = model
    return names


def model_in(tokens: Sequence[str]) -> str | None:
    """Return the model of the user's that flags in canonical spelling name; None if it is a space that they name.

    Raises:
        RaynasError: if there are options of a model, but no model.
    """
    name = last_value(tokens, "model.name")
    options = sorted(option for option in given(tokens) if option.startswith("model.") and option != "model.name")
    if options and name in (None, "none"):
        short = next((f"--{short}" for short, path in SHORT.items() if path == options[0]), f"--{options[0]}")
        raise RaynasError(f"{short} is for a model of yours: name it, --model package.module:name")
    return None if name == "none" else name


def last_value(tokens: Sequence[str], option: str) -> str | None:
    """Return the value of the last flag in canonical spelling that sets an option; None if there is none."""
    values = [value_of(tokens, i) for i, token in enumerate(tokens) if token.partition("=")[0] == f"--{option}"]
    return values[-1] if values else None
