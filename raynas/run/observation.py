"""Checks of what comes from outside into a study: architectures, results, and the trials that they are of."""

import re
from collections.abc import Mapping
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.archive_schema import MAX_COUNT
from raynas.core.evaluation import is_metric, metrics_of, notes_of
from raynas.core.goal import Goal
from raynas.core.metric import NAME
from raynas.core.outcome import Result
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, SpaceError, UnreportedMetricError
from raynas.validate import require, whole

MAX_TEXT = 10_000
"""Maximum number of characters of a name, a note or a reason."""

MAX_NAMED = 5
"""Number of open trials that a message names."""


def member(space: SearchSpace, given: object) -> Architecture:
    """Return an architecture, or a whole config, as a point of a space; it must hold nothing else.

    Raises:
        SettingError: if it is no mapping.
        SpaceError: if it is no member, or has a decision that is not active in it.
    """
    require(isinstance(given, Mapping), "an architecture must be a mapping of decisions to options", given)
    assert isinstance(given, Mapping)
    try:
        point = space.point(given)
        config = space.to_config(point)
    except (RecursionError, TypeError) as error:  # lists in lists in lists; a list where a name belongs
        raise SpaceError(f"{space.name}: this is no architecture: {error}") from None
    arch, rest = (given["arch"], given) if "arch" in given else (given, {})
    if idle := [name for name in arch if name not in config["arch"]]:
        raise SpaceError(f"{space.name}: decision {idle[0]!r} is not active in this architecture; leave it out")
    for name, option in config["arch"].items():
        if isinstance(arch[name], bool) is not isinstance(option, bool):  # True equals 1
            raise SpaceError(f"{space.name}: {name!r} cannot be {arch[name]!r}; it is a {type(option).__name__}")
    for name, value in rest.items():
        if name not in config:
            known = ", ".join(config.keys() - {"arch"}) or "none"
            raise SpaceError(f"{space.name}: there is no hyperparameter {name!r}; known: {known}")
        if name != "arch" and value != config[name]:
            raise SpaceError(f"{space.name}: hyperparameter {name!r} is {config[name]!r}, not {value!r}")
    return point


def checked_metrics(
    metrics: Mapping[str, object], goal: Goal, *, fidelity: int, error: str, notes: Mapping[str, str]
) -> Result:
    """Return a result as a trial would report it.

    Args:
        metrics: by name.
        goal: names the objectives.
        fidelity: number of epochs.
        error: the reason of a failure; "" if the trial succeeded.
        notes: texts by name.

    Raises:
        SettingError: if a metric has no name or is no finite number, a text is too long, or the fidelity is no count.
        UnreportedMetricError: if an objective is missing, and there was no failure.
    """
    require(isinstance(metrics, Mapping), "metrics must be numbers by name, such as {'accuracy': 0.9}", metrics)
    for name, value in metrics.items():
        is_name = isinstance(name, str) and len(name) <= MAX_TEXT and bool(re.fullmatch(NAME, name))
        require(is_name, "the name of a metric must not begin with a digit nor hold spaces, <, >, =, * or :", name)
        require(is_metric(value) and not isinstance(value, bool), f"metric {name!r} must be a finite number", value)
    if dropped := [name for name in metrics if name not in metrics_of(metrics)]:
        raise SettingError(f"metric {dropped[0]!r} has a name that Ray Tune keeps for itself; choose another")
    _check_texts({**notes, "error": error})
    missing = [o.metric for o in goal.objectives if o.metric not in metrics]
    if missing and not error:
        raise UnreportedMetricError(missing[0], metrics)
    if lost := [name for name in notes if name not in notes_of(notes) or name in metrics]:
        raise SettingError(f"note {lost[0]!r} is empty, a metric, or has a name that Ray Tune keeps for itself")
    failure: dict[str, Any] = {"failed": 1, "error": " ".join(error.split())} if error else {}
    count = whole("fidelity", fidelity, 0)
    require(count <= MAX_COUNT, f"fidelity must be at most {MAX_COUNT}", count)
    return {**metrics, **notes, **failure, "training_iteration": count}


def _check_texts(texts: Mapping[str, object]) -> None:
    for name, text in texts.items():
        is_text = isinstance(name, str) and isinstance(text, str) and len(name) + len(text) <= MAX_TEXT
        require(is_text, f"notes and errors must be texts of at most {MAX_TEXT} characters", {name: text})


def open_trial(archive: Archive, trial: str) -> None:
    """Check that a trial is one that waits for its result.

    Raises:
        SettingError: if it is not; says which are.
    """
    unfinished = archive.unfinished()
    if trial in unfinished:
        return
    named = list(unfinished)[:MAX_NAMED]
    more = f" and {len(unfinished) - len(named)} more" if len(unfinished) > len(named) else ""
    is_known = any(record["trial"] == trial for record in archive.events("ended"))
    what = f"trial {trial!r} has its result already" if is_known else f"there is no trial {trial!r}"
    raise SettingError(f"{what}; open are {', '.join(named) or 'none'}{more}")
