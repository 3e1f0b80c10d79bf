"""A call of a study from the command line: proposals, or the booking of results."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console

from raynas.cli.answers import EvaluationAnswer, ObserveAnswer, ProposalAnswer, ProposeAnswer
from raynas.cli.hyperparameters import parse_domain
from raynas.cli.search_command import latency_metrics, load_metrics
from raynas.cli.spaces import space_maker
from raynas.cli.study_request import ObserveFlags, ProposeFlags, StudyRequest
from raynas.cli.terminal import say
from raynas.cli.winner import fitted
from raynas.core.evaluation import Evaluation
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import ContentError, RaynasError
from raynas.files.content import decode_json, read_file
from raynas.files.replacing import write_whole
from raynas.run.file_names import OPTIONS
from raynas.run.proposal import Proposal
from raynas.run.study import Study
from raynas.strategies import STRATEGIES
from raynas.trials import Training

MAX_LINE_BYTES = 2**20
"""Largest size of the JSON of an architecture or a result."""


class Observation(Struct, kw_only=True, forbid_unknown_fields=True):
    """A result, one line of ``raynas observe --file``: of a trial, or of the architecture in a config."""

    trial: str | None = None
    config: dict[str, Any] | None = None
    metrics: dict[str, float] = {}
    fidelity: int = 1
    error: str = ""
    notes: dict[str, str] = {}


_OBSERVATION = msgspec.json.Decoder(Observation)
_CONFIG = msgspec.json.Decoder(dict[str, Any])


def run_propose(request: StudyRequest, console: Console) -> ProposeAnswer:
    """Ask for proposals, or book one of the user's, and print them.

    Raises:
        RaynasError: as ``Study`` does.
    """
    flags, study = request.flags, open_study(request)
    assert isinstance(flags, ProposeFlags)
    proposals = study.propose(flags.n) if flags.add is None else [study.add(_config(flags.add, "--add"))]
    _remember(request)
    for proposal in proposals:
        say(f"{proposal.trial} {msgspec.json.encode(proposal.config).decode()}", console)
    archive = study.result().archive
    left = list(archive.unfinished())
    if len(proposals) < flags.n and flags.add is None:
        reason = study.ended_because or f"the strategy waits for results of open trials: {', '.join(left)}"
        say(f"{len(proposals)} of {flags.n} proposals: {reason}", console)
    return ProposeAnswer(
        proposals=list(map(_proposal, proposals)),
        open=left,
        n_proposed=len(archive.events("proposed")),
        num_samples=request.search.num_samples,
        ended=bool(study.ended_because) and not proposals,
        ended_because=study.ended_because,
    )


def run_observe(request: StudyRequest, console: Console) -> ObserveAnswer:
    """Book results, and print what they were.

    Raises:
        RaynasError: as ``Study`` does; of several results those before the wrong one are booked.
    """
    flags = request.flags
    assert isinstance(flags, ObserveFlags)
    given = list(_observations(flags))
    study = open_study(request)
    observed = []
    for where, one in given:
        try:
            observed.append(_booked(study, one))
        except RaynasError as error:
            if where:
                error.args = (f"{where}: {error}; the {len(observed)} before it are booked",)
            raise
    result = study.result()
    for e in observed:
        figures = ", ".join(f"{name} = {value:g}" for name, value in e.metrics.items())
        say(f"{e.trial} {'booked' if e.ok else 'failed'}: {figures or e.error}", console)
    return ObserveAnswer(
        observed=list(map(evaluation_answer, observed)),
        failed=[e.trial for e in observed if not e.ok],
        open=list(result.archive.unfinished()),
        best=best_answer(result),
    )


def open_study(request: StudyRequest) -> Study:
    """Return the study that a request is for.

    Raises:
        RaynasError: if it makes no sense.
        ValueError: if a value is out of range.
    """
    search, name = request.search, request.names["strategy"]
    return Study(
        _space(request),
        request.path,
        STRATEGIES[name](**request.options.fields_of("strategy", name)),
        objectives=search.objectives,
        constraints=search.constraints,
        metrics=[*load_metrics(search.metrics), *latency_metrics(request.latency)],
        num_samples=search.num_samples,
        seed=search.seed,
        hyperparameters={n: parse_domain(n, text) for n, text in search.hyperparameters.items()} or None,
        baseline=search.baseline,
        warm_start=search.warm_start,
        tolerance=search.tolerance,
        wait_seconds=request.flags.wait,
    )


def evaluation_answer(evaluation: Evaluation) -> EvaluationAnswer:
    """Return an evaluation in types of JSON."""
    return EvaluationAnswer(
        trial=evaluation.trial,
        key=evaluation.arch.key,
        architecture=dict(evaluation.arch),
        hyperparameters=dict(evaluation.hyperparameters),
        metrics={name: float(value) for name, value in evaluation.metrics.items()},
        epochs=evaluation.fidelity,
    )


def best_answer(result: SearchResult) -> EvaluationAnswer | None:
    """Return the best evaluation so far in types of JSON; None if there is none."""
    front = result.goal.pareto_front(result.full)
    return evaluation_answer(front[0]) if front else None


def _space(request: StudyRequest) -> SearchSpace:
    make = space_maker(request.options, request.names["space"], request.given)
    if request.data.data is None:
        return make()
    return fitted(make, Training(data=request.data.data, data_dir=request.data.data_dir), request.given)[0]


def _remember(request: StudyRequest) -> None:
    """Write the options of a study, which later calls need, unless they are there."""
    file = request.path / OPTIONS
    if not request.text or (file.is_file() and read_file(file).decode(errors="replace") == request.text):
        return
    try:
        write_whole(file, request.text)
    except OSError as error:
        raise RaynasError(f"cannot write {file}: {error.strerror}") from None


def _observations(flags: ObserveFlags) -> Iterator[tuple[str, Observation]]:
    """Yield the results that a command line gives, with the line of those in a file."""
    ways = {"a trial": flags.trial, "--architecture": flags.architecture, "--file": flags.file}
    taken = [way for way, value in ways.items() if value is not None]
    if len(taken) != 1:
        raise RaynasError(f"give one of {', '.join(ways)}, got {' and '.join(taken) or 'none'}")
    if flags.file is not None:
        if flags.result or flags.error is not None:
            raise RaynasError("--file has the results: leave out --result and --error")
        yield from _lines(flags.file)
        return
    yield (
        "",
        Observation(
            trial=flags.trial,
            config=None if flags.architecture is None else _config(flags.architecture, "--architecture"),
            metrics=dict(flags.result),
            fidelity=flags.fidelity,
            error=flags.error or "",
        ),
    )


def _lines(file: str) -> Iterator[tuple[str, Observation]]:
    content = sys.stdin.buffer.read(2**26) if file == "-" else _content(Path(file), 2**26)
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{'stdin' if file == '-' else file}, line {number}"
        if line.strip():
            yield where, _decoded(line, _OBSERVATION, where, "no result", Observation)


def _booked(study: Study, one: Observation) -> Evaluation:
    if (one.trial is None) is (one.config is None):
        raise RaynasError("a result needs a trial or a config, and not both")
    of: str | Mapping[str, object] = one.trial if one.trial is not None else one.config or {}
    return study.observe(of, one.metrics, fidelity=one.fidelity, error=one.error, notes=one.notes)


def _config(text: str, option: str) -> dict[str, Any]:
    """Return an architecture or a config from JSON, or a file of it."""
    is_json = text.lstrip().startswith(("{", "["))
    content = text.encode(errors="replace") if is_json else _content(Path(text).expanduser(), MAX_LINE_BYTES)
    found: dict[str, Any] = _decoded(content, _CONFIG, option, "no JSON object of an architecture", None)
    return found


def _decoded(content: bytes, schema: "msgspec.json.Decoder[Any]", where: str, what: str, cls: Any) -> Any:
    try:
        if len(content) > MAX_LINE_BYTES:
            raise ContentError(f"it has more than {MAX_LINE_BYTES} bytes")
        value = decode_json(content, schema)
        return value if cls is None else msgspec.convert(value, cls)
    except (ContentError, msgspec.ValidationError) as error:
        raise RaynasError(f"{where}: {what}: {error}") from None


def _content(path: Path, max_bytes: int) -> bytes:
    try:
        return read_file(path, max_bytes)
    except OSError as error:
        raise RaynasError(f"cannot read {str(path)[:200]!r}: {error.strerror}") from None
    except ContentError as error:
        raise RaynasError(f"cannot read {str(path)[:200]!r}: {error}") from None


def _proposal(proposal: Proposal) -> ProposalAnswer:
    costs = {name: float(value) for name, value in proposal.costs.items()}
    return ProposalAnswer(trial=proposal.trial, config=proposal.config, costs=costs, outside=proposal.outside)
