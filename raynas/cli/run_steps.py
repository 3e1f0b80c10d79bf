"""The steps of a search from the command line, in their order."""

from rich.console import Console

from raynas.cli.funnel_run import FunnelRun
from raynas.cli.search_command import search_command
from raynas.cli.search_request import SearchRequest
from raynas.cli.search_run import SearchRun
from raynas.run.cluster import RayStart
from raynas.run.tracking import track_all
from raynas.views.report import Summary, render, write
from raynas.views.trackers import as_trackers


def run_steps(request: SearchRequest, console: Console, start: RayStart | None = None) -> Summary:
    """Search, compare with random search, train the winner to its end, write the report and print it.

    Args:
        request: the command line.
        console: shows progress and report.
        start: a start of Ray in the background, which the search waits for.

    Raises:
        Interrupted: if a search was.
        RaynasError: if the request makes no sense, or a step cannot be done.
    """
    command = search_command(request)
    run = FunnelRun(command, console) if command.stages else SearchRun(command, console)
    if start:
        start.wait()
    run.connect()
    run.foretell()
    result = run.search()
    random = run.random(result)
    if random:
        result = run.joined(result, random)
    retrained, weights = run.retrain(result)
    summary = run.summary(result, random, retrained, weights)
    write(summary, run.path, searches={"search": result, **({"random": random} if random else {})}, stages=run.earlier)
    run.upload()
    track_all(result, as_trackers(command.run.trackers))  # once more, with the report
    render(summary, console)
    return summary
