"""The schema of an archive: the fields that each event must have, and what they may hold.

A new kind of event is a class here and a member of ``Event``; a new field of a known kind is a line in its class.
Fields that no class names are kept as they are.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder

from raynas.core.architecture import JsonOptions
from raynas.core.evaluation import Status
from raynas.core.measurement import Provenance
from raynas.core.relaxed_weights import RelaxedWeights

MAX_ARCHIVE_BYTES = 4 * 2**30
"""Largest size of an archive; a million trials take a third of a gigabyte."""

MAX_COUNT = 10**9
"""Largest number of epochs or trials."""

TrialName = Annotated[str, Meta(pattern=r"^\w[\w. -]*\Z", max_length=128)]
"""Also the name of a folder, so it can never lead anywhere else."""

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Metrics = dict[str, float]


class Config(Struct):
    """A Tune config; the hyperparameters, which are the user's, are not checked."""

    arch: JsonOptions


class _Record(Struct, kw_only=True, tag_field="event"):
    """Fields that views read of any event."""

    trial: TrialName = "0"
    fidelity: Count = 0
    metrics: Metrics = {}
    provenance: dict[str, Provenance] = {}


class Session(_Record, tag="session", kw_only=True):
    """A driver started."""

    space: str
    trainable: str
    objectives: list[str]
    constraints: list[str]
    strategy: str
    seed: int
    num_samples: Count
    baseline: Metrics
    code: dict[str, str]
    data: dict[str, str]
    generation_size: Count | None = None
    baseline_is: str = ""
    title: str = ""
    tolerance: float | None = None
    resources: dict[str, float] = {}
    versions: dict[str, str] = {}
    command: str = ""
    warm_start: bool = False


class Proposed(_Record, tag="proposed", kw_only=True):
    """A trial got its config."""

    trial: TrialName
    config: Config
    costs: Metrics
    outside: bool = False


class Imported(_Record, tag="imported", kw_only=True):
    """A strategy learns from an evaluation of another archive."""

    config: Config
    metrics: Metrics
    fidelity: Count
    source: str


class Scored(_Record, tag="scored", kw_only=True):
    """A strategy computed zero-cost scores."""

    config: Config
    scores: dict[str, float | None]


class Refused(_Record, tag="refused", kw_only=True):
    """An architecture broke a hard constraint."""

    config: Config
    metrics: Metrics
    reason: str


class Repaired(_Record, tag="repaired", kw_only=True):
    """A proposal that broke a hard constraint was changed to meet it."""

    config: Config
    proposal: Config


class Duplicate(_Record, tag="duplicate", kw_only=True):
    """An architecture was proposed again."""

    config: Config


class Waited(_Record, tag="waited", kw_only=True):
    """The strategy had nothing to propose."""


class Result(_Record, tag="result", kw_only=True):
    """A trial reported."""

    trial: TrialName
    fidelity: Count
    metrics: Metrics
    relaxed: RelaxedWeights | None = None


class Ended(_Record, tag="ended", kw_only=True):
    """A trial ended."""

    trial: TrialName
    status: Status
    fidelity: Count
    metrics: Metrics
    error: str
    notes: dict[str, str] = {}
    relaxed: RelaxedWeights | None = None


class Lost(_Record, tag="lost", kw_only=True):
    """A trial lost its process and is tried again."""

    trial: TrialName
    suspect: bool
    reason: str


class MeasuredAgain(_Record, tag="measured", kw_only=True):
    """The architecture of a trial was measured at the end of a search, or could not be."""

    trial: TrialName
    metrics: Metrics
    error: str


class RepeatedTraining(_Record, tag="repeated", kw_only=True):
    """The architecture of a trial was trained with another seed at the end of a search, or failed."""

    trial: TrialName
    seed: Annotated[int, Meta(ge=0)]
    fidelity: Count
    metrics: Metrics
    error: str


class Retried(_Record, tag="retried", kw_only=True):
    """A trial begins again from the start."""

    trial: TrialName


Event = (
    Session
    | Proposed
    | Imported
    | Scored
    | Refused
    | Repaired
    | Duplicate
    | Waited
    | Result
    | Lost
    | Ended
    | MeasuredAgain
    | RepeatedTraining
    | Retried
)

EVENT: "Decoder[Any]" = Decoder(Event)
"""Decodes a line."""
