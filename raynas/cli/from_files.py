"""Options that only a typed flag may set: code, data and outputs. A file may come from anybody."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from raynas.cli.options import names_code
from raynas.errors import RaynasError
from raynas.run.file_names import RETRAIN_SETTINGS

CODE = (
    *("metrics", "space.name", "model.name", "model.input", "model.losses", "model.batches"),
    *("trainable.data", "trainable.fn", "trainable.read_arch"),
    *("trainable.teacher", "trainable.label_loss", "trainable.score"),
)
"""Options that may name code, which is then imported; a file never does."""

RUN = ("latency.measure",)
"""Options that name code to run, whatever their value; a file never does."""

PLACES: Mapping[str, str] = {
    **dict.fromkeys(("address", "baseline", "name", "output"), "none"),
    "warm_start": "none",
    **dict.fromkeys(("model.weights", "trainable.supernet", "trainable.table"), "none"),
    "results": "results",
    "trainable.data": "digits",
    "trainable.data_dir": "~/.cache/raynas",
}
"""Options that name data, a folder or a cluster, and their defaults; a file that lies among results never does."""

_SHORT = {"trainable.data": "data", "space.name": "space", "model.name": "model", "model.input": "input"}


def refuse_from_file(file: Path, tokens: Sequence[str], typed: Sequence[str]) -> None:
    """Check that a file sets nothing but plain values where the user has not typed a flag.

    A file of options that the user wrote may name data and outputs, but no code. One that lies among results, where a
    search or somebody else wrote it, may name neither.

    Args:
        file: the file.
        tokens: its options, as flags in canonical spelling.
        typed: the flags that the user typed, likewise.

    Raises:
        RaynasError: if it sets more; shows the flags to type.
    """
    asked = dict(_options(typed))
    own = typed_flags(tokens, among_results=lies_among_results(file), without=asked)
    if own:
        raise RaynasError(
            f"{file} names code, data or an output, which only a flag may do; if it is yours, say so: {shlex.join(own)}"
        )


def typed_flags(tokens: Sequence[str], *, among_results: bool = True, without: Collection[str] = ()) -> list[str]:
    """Return those flags that a file may not set, in their short spelling.

    Args:
        tokens: flags in canonical spelling.
        among_results: whether the file is among results.
        without: options to leave out.
    """
    return [
        part
        for option, values in _options(tokens)
        if option not in without and (_names_code(option, values) or (among_results and _names_place(option, values)))
        for part in (f"--{_SHORT.get(option, option)}", *values)
    ]


def lies_among_results(file: Path) -> bool:
    """Return whether a file was read unasked, or a search keeps its results in its folder or the one above it."""
    if file.name == RETRAIN_SETTINGS:
        return True
    folders = file.absolute().parents[:2]
    return any((folder / name).exists() for folder in folders for name in ("archive.jsonl", "funnel.json"))


def _options(tokens: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option with its values; a stage of a funnel is one value."""
    for i, token in enumerate(tokens):
        if not token.startswith("--"):
            continue
        option, equals, value = token[2:].partition("=")
        values = [value] if equals else []
        for following in tokens[i + 1 :]:
            if following.startswith("--"):
                break
            values.append(following)
        yield option, values


def _names_code(option: str, values: Sequence[str]) -> bool:
    if option == "funnel":
        return any(_names_code(*pair) for pair in _in_stages(values))
    if option in RUN:
        return values != ["none"]
    return option in CODE and any(names_code(value) for value in values)


def _names_place(option: str, values: Sequence[str]) -> bool:
    if option == "funnel":
        return any(_names_place(*pair) for pair in _in_stages(values))
    if option == "baseline" and list(values) == ["default"]:
        return False
    if option == "trainable.data":
        return any(":" in value for value in values)
    return option in PLACES and any(value not in (PLACES[option], "none", "null") for value in values)


def _in_stages(texts: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield what the words ``name=value`` of stages set, as options of a trainable."""
    for text in texts:
        for name, _, value in (word.partition("=") for word in text.split()):
            yield f"trainable.{name}", [value]
