"""A profile from the command line: progress, the table's file and its error."""

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raynas.cli.answers import ProfileAnswer
from raynas.cli.profile_request import ProfileRequest
from raynas.cli.search_command import latency_metrics
from raynas.cli.spaces import space_maker
from raynas.cli.terminal import Interrupted, say, shown
from raynas.errors import RaynasError
from raynas.metrics.latency import LatencyMeasure, latency
from raynas.metrics.latency_table.profile import Report, profile_latency


def run_profile(request: ProfileRequest, console: Console) -> ProfileAnswer:
    """Time the operations of a space, and print the error of their sums.

    Raises:
        Interrupted: if it was.
        RaynasError: if the space cannot be made, a network cannot be measured, or the file cannot be written.
    """
    flags, path = request.flags, request.path
    (metric,) = latency_metrics(request.latency) or [latency()]
    if isinstance(metric.measure, LatencyMeasure):
        metric.measure.check(n_threads=flags.n_threads, device=torch.device(flags.torch_device))
    space = space_maker(request.options, request.space, request.given)()
    say(f"Latency of the operations of {space.name}; the table goes to {shown(path)}", console)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Progress(*columns, console=console) as progress:
            table = profile_latency(
                space,
                metric,
                path=path,
                n_corrected=flags.n_corrected,
                n_left_out=flags.n_left_out,
                n_threads=flags.n_threads,
                device=flags.torch_device,
                seed=flags.seed,
                report=shown_by(progress),
            )
    except KeyboardInterrupt:
        raise Interrupted(f"what was timed is in {shown(path)}") from None
    except OSError as error:
        raise RaynasError(f"cannot write to {path}: {error.strerror}") from None
    say(str(table), console)
    for doubt in table.doubts:
        say(f"in doubt: {doubt}", console)
    say(f"\nsearch by it: raynas search --latency.table {shown(path)} --constraints 'latency_ms <= ...'", console)
    return ProfileAnswer(
        table=str(path), n_operations=len(table.operations), complete=table.complete, doubts=list(table.doubts)
    )


def shown_by(progress: Progress) -> Report:
    """Return a function that shows each step as a bar."""
    tasks = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what)
        progress.update(tasks[what], completed=done, total=total)

    return report
