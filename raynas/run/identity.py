"""Identity: the computation of a search; a run under the same name is refused, or continues, when it has changed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.core.archive import Record
from raynas.core.goal import Goal
from raynas.core.metric import Measure
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics import METRICS
from raynas.metrics.latency.settings import OnBackEnd
from raynas.metrics.latency_predictor import LatencyPredictor, StoredPredictor
from raynas.metrics.latency_table import LatencyTable
from raynas.run.data_fingerprint import fingerprint_of_path
from raynas.run.user_source import parts_of
from raynas.trials.settings import TrialSettings
from raynas.user_code import load_object

MAX_NAMED = 3
"""Number of changes that a message names."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The computation of a search, as far as it can be told.

    Args:
        space: name and fingerprint of its decisions and sizes; then that of its weights, if it has some.
        trainable: settings of the trials.
        objectives: of the goal, with their directions.
        constraints: as the user wrote them.
        code: fingerprints of the user's functions and classes that architectures are built and scored by, by part.
        data: fingerprints of the files that the settings name.
    """

    space: str
    trainable: str
    objectives: list[str]
    constraints: list[str]
    code: Mapping[str, str]
    data: Mapping[str, str]

    @classmethod
    def of(cls, space: SearchSpace, goal: Goal, settings: TrialSettings) -> "Identity":
        """Return the identity of a search.

        Args:
            space: with its hyperparameters.
            goal: with constraints as the user wrote them.
            settings: the way of scoring.
        """
        code, data = _of_settings(settings)
        networks = space.architecture_space
        own = {name: m.measure for name, m in goal.metrics.items() if METRICS.get(name) != m and m.measure}
        latency = {f"measurement of {n}": text for n, m in own.items() if (text := _of_measurement(m))}
        return cls(
            space=f"{space.name} {space.fingerprint} {networks.weights_fingerprint}".rstrip(),
            trainable=settings.description,
            objectives=[f"{o.mode}:{o.metric}" for o in goal.objectives],
            constraints=[str(c) for c in goal.constraints],
            code={**parts_of(*code, *networks.code, *own.values()), **latency},
            data=data,
        )

    def has_other_weights(self, session: Record) -> bool:
        """Return True if a recorded session searched a space of this name whose networks inherit other weights."""
        before, now = str(session["space"]).split(" "), self.space.split(" ")
        return len(before) == len(now) == 3 and before[0] == now[0] and before[2] != now[2]

    def changes(self, session: Record) -> list[str]:
        """Return what changed in the trials since a recorded session, a clause each; none if nothing did."""
        settings = [] if session["trainable"] == self.trainable else [_became(session["trainable"], self.trainable)]
        data = [f"the content of {name} changed" for name in _differing(session["data"], self.data)]
        return [*settings, *_code_changes(session["code"], self.code), *data]


def _of_measurement(measure: Measure) -> str:
    """Return a text that two measurements of raynas share if they are the same; "" for those of the user's."""
    owner = getattr(measure, "__self__", measure)
    return owner.identity if isinstance(owner, OnBackEnd | LatencyTable | LatencyPredictor | StoredPredictor) else ""


def space_fingerprint(space: SearchSpace) -> str:
    """Return a text that two spaces share if they build the same networks: decisions, weights, the user's code."""
    code = json.dumps(parts_of(*space.architecture_space.code), sort_keys=True)
    return "-".join((space.fingerprint, space.weights_fingerprint, hashlib.sha256(code.encode()).hexdigest()[:16]))


def check_fingerprint(space: SearchSpace, fingerprint: str) -> None:
    """Check that a space of architectures is still that of a search.

    Args:
        space: as it is now.
        fingerprint: as it was.

    Raises:
        RaynasError: if it is not; says what changed.
    """
    now, before = space_fingerprint(space).split("-"), fingerprint.split("-")
    if now == before:
        return
    names = ("its code", "its weights", "its decisions or inputs")
    changed = [name for name, new, old in zip(names, now[::-1], before[::-1], strict=False) if new != old]
    # The first fingerprint holds that of the weights too.
    changed = [name for name in changed if name != names[2] or names[1] not in changed]
    raise RaynasError(
        f"{space.name} is not as it was in the search, {' and '.join(changed)} changed: restore it, or say "
        "--fingerprint none to use it as it is now"
    )


def _became(before: str, now: str) -> str:
    return f"the trainable was {before} and is {now}"


def _code_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Word what changed; what is new or gone follows from another change, unless there is none."""
    differing = _differing(before, now)
    both = [part for part in differing if part in before and part in now]
    changed = [f"{part} changed{_values(before[part], now[part])}" for part in both]
    new = [f"{part} is new" for part in differing if part not in before]
    gone = [f"{part} is gone" for part in differing if part not in now]
    return changed or [*new, *gone]


def _values(before: str, now: str) -> str:
    return "" if before.startswith("#") or now.startswith("#") else f" ({before} -> {now})"


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _of_settings(settings: TrialSettings) -> tuple[list[object], dict[str, str]]:
    """Return the code that settings name, and the fingerprints of their files."""
    code: list[object] = []
    data: dict[str, str] = {}
    given: dict[str, Any] = vars(settings)
    for value in (given.get(name) for name in ("fn", "cls", "data", "table")):
        if callable(value):
            code.append(value)
        elif isinstance(value, str | Path):
            kind, colon, rest = str(value).partition(":")
            path = Path(rest if kind in ("npz", "folder") and colon else str(value)).expanduser()
            if path.exists():
                data[str(value)] = fingerprint_of_path(path)
            elif colon:
                code.append(_loaded(str(value)))
    return code, data


def _loaded(reference: str) -> object:
    """Return the object that ``module:name`` names; a trial says what is wrong where there is none."""
    try:
        return load_object(reference)
    except (RaynasError, ValueError):
        return None
