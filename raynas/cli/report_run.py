"""A report written again from the command line."""

import dataclasses
from pathlib import Path

from rich.console import Console

from raynas.cli.report_request import ReportRequest
from raynas.cli.terminal import say, shown
from raynas.files.content import read_file
from raynas.funnels.report import TEXT
from raynas.run.report_again import report_again
from raynas.views.report import Summary, render


def run_report(request: ReportRequest, console: Console) -> Summary:
    """Write the report of a search, or of a funnel, again, and print it; return its facts.

    Raises:
        RaynasError: if the folder cannot be used, or the report cannot be written.
    """
    if request.search != request.directory and (request.directory / TEXT).is_file():
        say(f"\n{read_file(request.directory / TEXT).decode(errors='replace')}", console)
    summary = report_again(request.search, request.directory)
    files = {name: shown(Path(file)) for name, file in summary.files.items()}
    summary = dataclasses.replace(summary, files=files)
    render(summary, console)
    return summary
