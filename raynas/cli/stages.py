"""The stages of ``--funnel``, each a text: ``zero_cost 1000 synflow``, ``train 60 epochs=2``, ``train 8 epochs=30``."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_origin, get_type_hints

from raynas.cli.funnel_flags import COUNT
from raynas.errors import ContentError, RaynasError, UnknownNameError
from raynas.files.options_text import decode_yaml
from raynas.funnels import FunnelStage
from raynas.strategies import EarlyStopping
from raynas.trials import TRIALS, TrialSettings

SHARED = ("data", "data_dir", "image_size", "valid_share", "seed", "device", "gpus", "n_threads", "latency_threads")
"""Options of ``--trainable`` that stages of another kind take over, if they have them too."""


def parse_stages(
    texts: Sequence[str], trainable: TrialSettings, early_stopping: EarlyStopping | None = None
) -> tuple[FunnelStage, ...]:
    """Read the stages of a funnel.

    Args:
        texts: ``TRAINABLE NUMBER [METRIC ...] [OPTION=VALUE ...]`` each.
        trainable: that of ``--trainable``; a stage of its kind has its options but for those that the text sets.
        early_stopping: of the stages that train.

    Raises:
        RaynasError: if a text cannot be read; says which.
        ValueError: if a value is out of range.
    """
    stages = tuple(_stage(text, trainable, early_stopping) for text in texts)
    if stages and early_stopping and not any(stage.early_stopping for stage in stages):
        raise RaynasError("no stage of --funnel trains: there is nothing to stop early, leave out --early_stopping")
    return stages


def _stage(text: str, trainable: TrialSettings, early_stopping: EarlyStopping | None) -> FunnelStage:
    match = COUNT.match(text)
    if not match:
        raise RaynasError(
            f"cannot read stage {text!r}: write TRAINABLE NUMBER [METRIC ...] [OPTION=VALUE ...], "
            "e.g. 'train 8 epochs=30'"
        )
    kind, n = match.groups()
    if kind not in TRIALS:
        raise UnknownNameError("trainable", kind, TRIALS)
    words = text[match.end() :].split()
    asked = dict(word.split("=", 1) for word in words if "=" in word)
    metrics = [word for word in words if "=" not in word]
    settings = _settings(text, kind, asked, trainable)
    stage = FunnelStage(settings, n=int(n), objectives=metrics or None)
    stops = early_stopping is not None and stage.trains and not settings.bulk_size
    return dataclasses.replace(stage, early_stopping=early_stopping) if stops else stage


def _settings(text: str, kind: str, asked: dict[str, str], trainable: TrialSettings) -> TrialSettings:
    cls = TRIALS[kind]
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    values = _values(text, asked, {name: hint for name, hint in get_type_hints(cls).items() if name in known})
    same = type(trainable) is cls
    taken = known if same else [name for name in SHARED if name in known and hasattr(trainable, name)]
    inherited = {name: getattr(trainable, name) for name in taken if kind != "subnet" or same}
    for item in dataclasses.fields(cls):
        if _is_required(item) and item.name not in {**values, **inherited}:
            raise RaynasError(f"stage {text!r} needs {item.name}=...")
    try:
        return cls(**{**inherited, **values})
    except TypeError as error:  # a number where a list belongs
        raise RaynasError(f"stage {text!r} cannot be read: {error}") from None


def _values(text: str, asked: Mapping[str, str], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a text sets; a mapping entry by entry, as flags do: ``scale.channels=4``."""
    values: dict[str, Any] = {}
    for path, value in asked.items():
        name, dot, entry = path.partition(".")
        if name not in hints:
            raise UnknownNameError(f"option of stage {text!r}:", name, hints)
        if bool(dot) != (get_origin(hints[name]) is Mapping):
            raise RaynasError(f"stage {text!r}: write {name if dot else f'{name}.NAME'}=VALUE")
        read = value if hints[name] is str else _value(value)
        values[name] = {**values.get(name, {}), entry: read} if dot else read
    return values


def _is_required(item: "dataclasses.Field[Any]") -> bool:
    return item.init and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _value(text: str) -> Any:
    """Return a number, a truth value, a list in brackets, none, or the text itself."""
    try:
        value = decode_yaml(text)
    except ContentError:
        return text
    if isinstance(value, str) and value.lower() == "none":
        return None
    if isinstance(value, str):
        return _number(value)  # YAML's 1.1 takes 1e-3 for a text
    return tuple(value) if isinstance(value, list) else value


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
