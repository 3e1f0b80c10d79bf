"""The sub-commands: their steps, their exit codes, and errors in one line.

The command line is read first, without the classes that it names: importing those takes seconds. Meanwhile Ray starts.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from raynas.cli.convert_request import ConvertRequest, read_convert
from raynas.cli.export_request import read_export
from raynas.cli.profile_request import ProfileRequest, read_profile
from raynas.cli.report_request import ReportRequest, read_report
from raynas.cli.retrain_request import RetrainRequest, read_retrain
from raynas.cli.search_request import SearchRequest, read_search
from raynas.cli.terminal import Interrupted, say, shown
from raynas.cli.track_request import TrackRequest, read_track
from raynas.errors import RaynasError
from raynas.run.cluster import RayStart

OK, NO_RESULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


def run_tune(argv: Sequence[str]) -> int:
    """Search, compare with random search, train the winner to its end, report; return the exit code."""
    return _guarded(lambda: _search(read_search(argv)))


def retrain_found(argv: Sequence[str]) -> int:
    """Train a found architecture to its end, and test it; return the exit code."""
    return _guarded(lambda: _retrain(read_retrain(argv)))


def export_found(argv: Sequence[str]) -> int:
    """Write a found network to files that run without raynas, and check them; return the exit code."""
    return _guarded(lambda: _export(read_export(argv)))


def convert_model(argv: Sequence[str]) -> int:
    """Show what of a given model can vary, and what its smaller relatives cost; return the exit code."""
    return _guarded(lambda: _convert(read_convert(argv)))


def profile_space(argv: Sequence[str]) -> int:
    """Time every operation of a space, and print the error of their sums; return the exit code."""
    return _guarded(lambda: _profile(read_profile(argv)))


def report_found(argv: Sequence[str]) -> int:
    """Write and print the report of a search again; return the exit code."""
    return _guarded(lambda: _report(read_report(argv)))


def track_found(argv: Sequence[str]) -> int:
    """Write a search to experiment trackers; return the exit code."""
    return _guarded(lambda: _track(read_track(argv)))


@contextmanager
def _working_folder_on_path() -> Iterator[None]:
    """Let the user's code be imported from the working folder, as Ray's workers do; what is installed goes first."""
    folder = os.getcwd()
    is_new = folder not in sys.path and "" not in sys.path
    if is_new:
        sys.path.append(folder)
    try:
        yield
    finally:
        if is_new and folder in sys.path:
            sys.path.remove(folder)


def _guarded(action: Callable[[], int]) -> int:
    """Print errors as one line, without a traceback where it is not a fault of the program."""
    try:
        with _working_folder_on_path():
            return action()
    except (KeyboardInterrupt, Interrupted) as error:
        done = f": {error}" if str(error) else ""
        print(f"Interrupted{done}. Run the same command again to go on from here.", file=sys.stderr)
        return INTERRUPTED
    except (RaynasError, ValueError) as error:
        if not _is_ours(error):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT


def _is_ours(error: BaseException) -> bool:
    """Return whether raynas raised an error: a ValueError from elsewhere is a fault, whose traceback is needed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return isinstance(error, RaynasError) or module.partition(".")[0] == "raynas"


def _search(request: SearchRequest) -> int:
    console = Console()
    say(f"{request.title}; everything goes to {shown(request.run.path)}", console)
    start = RayStart() if request.run.address is None else None
    from raynas.cli.run_steps import run_steps  # imports torch and Ray Tune

    return OK if run_steps(request, console, start).best else NO_RESULT


def _retrain(request: RetrainRequest) -> int:
    from raynas.cli.retrain_run import run_retraining  # imports torch

    run_retraining(request, Console())
    return OK


def _export(request: RetrainRequest) -> int:
    from raynas.cli.export_run import run_export  # imports torch

    run_export(request, Console())
    return OK


def _convert(request: ConvertRequest) -> int:
    from raynas.cli.convert_run import run_convert  # imports torch

    run_convert(request, Console())
    return OK


def _profile(request: ProfileRequest) -> int:
    from raynas.cli.profile_run import run_profile  # imports torch

    run_profile(request, Console())
    return OK


def _track(request: TrackRequest) -> int:
    from raynas.run.track import track  # imports torch

    track(request.search, request.trackers)
    say(f"{shown(request.search)} is in {' and '.join(request.trackers)}", Console())
    return OK


def _report(request: ReportRequest) -> int:
    from raynas.cli.report_run import run_report  # imports torch

    run_report(request, Console())
    return OK
