"""The JSON that each command prints with ``--json``: its schema, as types.

A change that a reader of the JSON must know of (a field that is gone, or means something else) raises ``VERSION``; a
new field does not.
"""

from typing import Any

from msgspec import Struct

VERSION = 1


class Error(Struct, kw_only=True):
    """The reason why a command failed: ``kind`` is the class of the error, ``message`` one line."""

    kind: str
    message: str


class Answer(Struct, kw_only=True):
    """The one JSON object on stdout. ``result`` is null if and only if there is an ``error``."""

    version: int = VERSION
    raynas: str
    command: str
    exit_code: int
    result: dict[str, Any] | None = None
    error: Error | None = None


class EvaluationAnswer(Struct, kw_only=True):
    """An evaluated architecture; ``epochs`` is the amount of training behind its metrics."""

    trial: str
    key: str
    architecture: dict[str, Any]
    hyperparameters: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    epochs: int = 1


class SearchAnswer(Struct, kw_only=True):
    """A search, of ``raynas search`` and ``raynas report``; if there is no ``best``, ``why_none`` says why."""

    title: str
    objectives: list[str]
    constraints: list[str]
    best: EvaluationAnswer | None
    why_none: str
    fronts: dict[str, list[EvaluationAnswer]]
    counts: dict[str, int]
    ended_because: str
    interrupted: bool
    retrained: dict[str, float] | None
    notes: list[str]
    files: dict[str, str]


class RetrainAnswer(Struct, kw_only=True):
    """A training to the end."""

    key: str
    data: str
    epochs: int
    metrics: dict[str, float]
    weights: str


class ExportAnswer(Struct, kw_only=True):
    """An export; ``missing`` has the reason for each file that could not be written."""

    directory: str
    files: list[str]
    missing: dict[str, str]
    verified: bool


class ProfiledMembers(Struct, kw_only=True):
    """Costs of members of a space, and for each limit whether it can be met: yes, no, unlikely or unknown."""

    members: dict[str, dict[str, float]]
    limits: dict[str, str]


class ConvertAnswer(Struct, kw_only=True):
    """A model as a space: options by decision, and the reason for each part that cannot vary."""

    space: str
    n_members: float
    decisions: dict[str, list[Any]]
    fixed: dict[str, str]
    profile: ProfiledMembers | None = None


class AssemblyAnswer(Struct, kw_only=True):
    """An assembly: the alternatives by the blocks that they replace, and its predicted scores and its costs."""

    choices: dict[str, str]
    predicted: dict[str, float]


class BlocksAnswer(Struct, kw_only=True):
    """A library of blocks, and its best assemblies; ``best`` has the choices of that which has the ``scores``."""

    folder: str
    given: dict[str, float]
    assemblies: list[AssemblyAnswer] = []
    best: dict[str, str] = {}
    scores: dict[str, float] = {}
    files: list[str] = []


class CheapScoreAnswer(Struct, kw_only=True):
    """A score before recovery against recovery: ``precision`` among the ``k`` best, ``regret`` of its first choice.

    ``chance`` is the regret of a random choice.
    """

    score: str
    n: int
    spearman: float | None
    kendall: float | None
    k: int
    precision: float
    regret: float
    chance: float


class CompressAnswer(Struct, kw_only=True):
    """A compression; ``compared`` has members that were trained as long as a candidate, by their kind."""

    folder: str
    space: str
    constraints: list[str]
    given: dict[str, float]
    best: EvaluationAnswer | None
    why_none: str
    compared: dict[str, EvaluationAnswer | None]
    worth: list[CheapScoreAnswer]
    worth_after_one_epoch: list[CheapScoreAnswer]
    on_test: dict[str, dict[str, float]]
    limits_met: dict[str, float]
    files: list[str]


class MemberAnswer(Struct, kw_only=True):
    """A member of a mined front, and its metrics."""

    key: str
    arch: dict[str, Any]
    metrics: dict[str, float]


class MineAnswer(Struct, kw_only=True):
    """A mined front: the members on it with inherited weights, and those that were trained further.

    ``belief`` has Spearman's correlation of each score before and after; null where it is not defined.
    """

    folder: str
    members: int
    front: list[MemberAnswer] = []
    recovered: list[MemberAnswer] = []
    belief: dict[str, float | None] = {}
    files: list[str] = []


class ProfileAnswer(Struct, kw_only=True):
    """A table of latencies."""

    table: str
    n_operations: int
    complete: bool
    doubts: list[str]


class TrackAnswer(Struct, kw_only=True):
    """A search that was written to trackers."""

    search: str
    trackers: list[str]


class ProposalAnswer(Struct, kw_only=True):
    """An architecture to evaluate: ``config`` holds it under "arch", hyperparameters beside it."""

    trial: str
    config: dict[str, Any]
    costs: dict[str, float]
    outside: bool


class ProposeAnswer(Struct, kw_only=True):
    """Proposals. Without any, ``ended`` is true if none will come, and false if results of open trials are awaited."""

    proposals: list[ProposalAnswer]
    open: list[str]
    n_proposed: int
    num_samples: int
    ended: bool
    ended_because: str


class ObserveAnswer(Struct, kw_only=True):
    """Results that were booked, the trials that are still open, and the best so far."""

    observed: list[EvaluationAnswer]
    failed: list[str]
    open: list[str]
    best: EvaluationAnswer | None


class ArchiveShown(Struct, kw_only=True):
    """The content of an archive."""

    archive: str
    title: str
    space: str
    objectives: list[str]
    constraints: list[str]
    strategies: list[str]
    num_samples: int
    counts: dict[str, int]
    open: list[str]
    imported: int
    best: EvaluationAnswer | None


class ShowAnswer(Struct, kw_only=True):
    """The content of archives."""

    archives: list[ArchiveShown]


class MergeAnswer(Struct, kw_only=True):
    """A new archive; ``dropped`` is the number of evaluations of architectures that another has too."""

    archive: str
    merged: list[str]
    evaluations: int
    dropped: int


class TableAnswer(Struct, kw_only=True):
    """A table of evaluations as a file."""

    file: str
    rows: int
    columns: list[str]


ANSWERS: dict[str, type[Struct]] = {
    "search": SearchAnswer,
    "report": SearchAnswer,
    "retrain": RetrainAnswer,
    "export": ExportAnswer,
    "convert": ConvertAnswer,
    "blocks": BlocksAnswer,
    "compress": CompressAnswer,
    "mine": MineAnswer,
    "profile": ProfileAnswer,
    "track": TrackAnswer,
    "propose": ProposeAnswer,
    "observe": ObserveAnswer,
    "archive show": ShowAnswer,
    "archive merge": MergeAnswer,
    "archive export": TableAnswer,
}
"""The type of ``result``, by command."""
