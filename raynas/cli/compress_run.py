"""A compression from the command line, from its options to its answer."""

from collections.abc import Mapping

import msgspec
from ray import tune
from rich.console import Console

from raynas.cli.answering import as_plain
from raynas.cli.answers import CompressAnswer
from raynas.cli.compress_request import CompressRequest
from raynas.cli.search_command import latency_metrics, load_metrics
from raynas.cli.spaces import GivenModel
from raynas.cli.terminal import Interrupted, say, shown
from raynas.compressing.compress import compress
from raynas.compressing.report import TEXT, as_json
from raynas.errors import RaynasError
from raynas.files.replacing import write_whole
from raynas.run.cluster import RayStart, start_ray
from raynas.run.file_names import OPTIONS
from raynas.run.repeats import Repeats
from raynas.strategies import EARLY_STOPPING, STRATEGIES
from raynas.trials import Distillation
from raynas.views.report import HTML


def run_compress(request: CompressRequest, console: Console, start: RayStart | None = None) -> CompressAnswer:
    """Compress a model, and print the findings.

    Args:
        request: the command line.
        console: shows progress and findings.
        start: a start of Ray in the background, which the first search waits for.

    Raises:
        Interrupted: if a step was.
        RaynasError: if the request makes no sense, or a step cannot be done.
    """
    options, asked, run = request.options, request.compress, request.run
    recovery = Distillation(**options.fields_of("trainable", "distil"))
    space = GivenModel(request.model)(recovery.load_source())
    if start:
        start.wait()
    if run.address is not None:
        start_ray(run.address)
    stopping = request.names["early_stopping"]
    if stopping == "none":
        raise RaynasError(
            "--early_stopping none would train every candidate to its end; say --early_stopping asha "
            "--early_stopping.grace_period N to spare more of them"
        )
    found = compress(
        space,
        constraints=asked.constraints,
        recovery=recovery,
        objectives=asked.objectives,
        metrics=[*load_metrics(asked.metrics), *latency_metrics(request.latency)],
        screen=asked.screen,
        effort=request.effort,
        strategy=STRATEGIES[request.names["strategy"]](**options.fields_of("strategy", request.names["strategy"])),
        early_stopping=EARLY_STOPPING[stopping](**options.fields_of("early_stopping", stopping)),
        repeats=_repeats(request),
        seed=asked.seed,
        formats=asked.formats if asked.export else (),  # type: ignore[arg-type]  # checked by the export
        max_concurrent=run.max_concurrent,
        max_trial_seconds=run.max_trial_seconds,
        retry_failed=run.retry_failed,
        on_change=run.on_change,  # type: ignore[arg-type]  # checked by RunOptions
        progress=run.progress,
        tensorboard=run.tensorboard,
        trackers=run.trackers,
        run_config=tune.RunConfig(name=run.path.name, storage_path=str(run.path.parent)),
    )
    try:
        write_whole(run.path / OPTIONS, request.text)
    except OSError as error:
        raise RaynasError(f"cannot write to {run.path}: {error.strerror}; what was found is kept") from None
    if found.interrupted:
        at = found.funnel.stages[-1]
        raise Interrupted(f"stage {at.number} of {at.n_stages}, {len(at.result.evaluations)} members so far")
    files = " and ".join(shown(run.path / name) for name in (TEXT, HTML) if (run.path / name).is_file())
    say(f"\nThe findings are in {files}", console)
    return answer_of(as_json(found), str(run.path))


def _repeats(request: CompressRequest) -> Repeats | None:
    given = request.repeats
    return Repeats(top=given.top, seeds=given.seeds) if given.top else None


def answer_of(facts: Mapping[str, object], folder: str) -> CompressAnswer:
    """Return the facts in types of JSON."""
    return msgspec.convert(as_plain({**facts, "folder": folder}), CompressAnswer)
