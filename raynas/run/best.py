"""The folder ``best`` of a search: its best architecture, the weights of its trial, and how to train it to the end."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.files.replacing import write_whole
from raynas.files.weights import WEIGHTS, write_weights
from raynas.run.file_names import ARCHITECTURE, RETRAIN_SETTINGS
from raynas.run.identity import space_fingerprint
from raynas.search_spaces import SEARCH_SPACES
from raynas.trials import Training
from raynas.validate import plain_parts


def keep(
    arch: Architecture,
    directory: Path,
    space: SearchSpace | None,
    training: Training | None,
    weights: Mapping[str, object] | None = None,
    origin: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Write an architecture, the weights of its trial, and the settings with which ``raynas retrain`` trains it.

    Args:
        arch: the architecture.
        directory: the folder to write; made if missing.
        space: the space of the final network; None if there are no settings.
        training: settings of the training to the end; None if there are none.
        weights: the ``state_dict``, if there is one; otherwise that of an earlier best is removed.
        origin: options of ``raynas retrain`` that name a space of the user's, if they are known.

    Raises:
        OSError: if a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / WEIGHTS).unlink(missing_ok=True)  # so that a kill never leaves it beside another architecture
    write_whole(directory / ARCHITECTURE, arch.to_json() + "\n")
    if training and space:
        settings = {**_space_settings(space, origin), "trainable": _fields(training)}
        write_whole(directory / RETRAIN_SETTINGS, yaml.safe_dump(settings, sort_keys=False))
    if weights is not None:
        write_weights(weights, directory / WEIGHTS)


def _space_settings(space: SearchSpace, origin: Mapping[str, object]) -> dict[str, object]:
    """Return the options that make a space; one of the user's is code, which must not have changed until then."""
    name = next((name for name, cls in SEARCH_SPACES.items() if type(space) is cls), None)
    if name is None:
        return {**origin, "fingerprint": space_fingerprint(space)}
    return {"space": {"name": name, **_fields(space)}}


def weights_of(result: SearchResult, evaluation: Evaluation) -> Mapping[str, object] | None:
    """Return the weights that a trial of a search left; None if it left none."""
    try:
        weights = result.saved_state(evaluation).get("model")
    except RaynasError:
        return None
    return weights if isinstance(weights, Mapping) else None


def _fields(settings: Any) -> dict[str, Any]:
    values = {f.name: plain_parts(getattr(settings, f.name)) for f in dataclasses.fields(settings) if f.init}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value != {}}
