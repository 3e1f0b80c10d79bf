"""The sub-commands: their steps, their exit codes, and errors in one line.

The command line is read first, without the classes that it names: importing those takes seconds. Meanwhile Ray starts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from rich.console import Console

from raynas.cli.answering import answered, as_plain
from raynas.cli.answers import SearchAnswer, TrackAnswer
from raynas.cli.archive_request import ACTIONS, ArchiveRequest, read_archive
from raynas.cli.blocks_request import BlocksRequest, read_blocks
from raynas.cli.compress_request import CompressRequest, read_compress
from raynas.cli.convert_request import ConvertRequest, read_convert
from raynas.cli.exit_codes import ExitCode
from raynas.cli.export_request import read_export
from raynas.cli.mine_request import MineRequest, read_mine
from raynas.cli.profile_request import ProfileRequest, read_profile
from raynas.cli.report_request import ReportRequest, read_report
from raynas.cli.retrain_request import RetrainRequest, read_retrain
from raynas.cli.search_request import SearchRequest, read_search
from raynas.cli.study_request import StudyRequest, read_observe, read_propose
from raynas.cli.terminal import say, shown
from raynas.cli.track_request import TrackRequest, read_track
from raynas.run.cluster import RayStart

if TYPE_CHECKING:
    from raynas.views.report import Summary

OK, NO_RESULT, BAD_INPUT, INTERRUPTED = ExitCode.OK, ExitCode.NO_RESULT, ExitCode.BAD_INPUT, ExitCode.INTERRUPTED

Done = tuple[ExitCode, Struct]


def run_tune(argv: Sequence[str]) -> int:
    """Search, compare with random search, train the winner to its end, report; return the exit code."""
    return answered("search", argv, lambda rest: _search(read_search(rest)))


def retrain_found(argv: Sequence[str]) -> int:
    """Train a found architecture to its end, and test it; return the exit code."""
    return answered("retrain", argv, lambda rest: _retrain(read_retrain(rest)))


def export_found(argv: Sequence[str]) -> int:
    """Write a found network to files that run without raynas, and check them; return the exit code."""
    return answered("export", argv, lambda rest: _export(read_export(rest)))


def convert_model(argv: Sequence[str]) -> int:
    """Show what of a given model can vary, and what its smaller relatives cost; return the exit code."""
    return answered("convert", argv, lambda rest: _convert(read_convert(rest)))


def replace_blocks(argv: Sequence[str]) -> int:
    """Replace blocks of a trained model by alternatives, within limits; return the exit code."""
    return answered("blocks", argv, lambda rest: _blocks(read_blocks(rest)))


def compress_model(argv: Sequence[str]) -> int:
    """Make a trained model smaller, recover and export it; return the exit code."""
    return answered("compress", argv, lambda rest: _compress(read_compress(rest)))


def mine_model(argv: Sequence[str]) -> int:
    """Mine the front of a trained model's smaller relatives; return the exit code."""
    return answered("mine", argv, lambda rest: _mine(read_mine(rest)))


def profile_space(argv: Sequence[str]) -> int:
    """Time every operation of a space, and print the error of their sums; return the exit code."""
    return answered("profile", argv, lambda rest: _profile(read_profile(rest)))


def report_found(argv: Sequence[str]) -> int:
    """Write and print the report of a search again; return the exit code."""
    return answered("report", argv, lambda rest: _report(read_report(rest)))


def track_found(argv: Sequence[str]) -> int:
    """Write a search to experiment trackers; return the exit code."""
    return answered("track", argv, lambda rest: _track(read_track(rest)))


def propose(argv: Sequence[str]) -> int:
    """Ask a search for architectures to evaluate; return the exit code."""
    return answered("propose", argv, lambda rest: _propose(read_propose(rest)))


def observe(argv: Sequence[str]) -> int:
    """Book results of architectures in a search; return the exit code."""
    return answered("observe", argv, lambda rest: _observe(read_observe(rest)))


def archive(argv: Sequence[str]) -> int:
    """Show, merge or export archives; return the exit code."""
    action = next(iter(argv), "")
    name = f"archive {action}" if action in ACTIONS else "archive"
    return answered(name, argv, lambda rest: _archive(read_archive(rest)))


def _search(request: SearchRequest) -> Done:
    console = Console()
    say(f"{request.title}; everything goes to {shown(request.run.path)}", console)
    start = RayStart() if request.run.address is None else None
    from raynas.cli.run_steps import run_steps  # imports torch and Ray Tune

    summary = run_steps(request, console, start)
    return OK if summary.best else NO_RESULT, search_answer(summary)


def _report(request: ReportRequest) -> Done:
    from raynas.cli.report_run import run_report  # imports torch

    return OK, search_answer(run_report(request, Console()))


def _retrain(request: RetrainRequest) -> Done:
    from raynas.cli.retrain_run import run_retraining  # imports torch

    return OK, run_retraining(request, Console())


def _export(request: RetrainRequest) -> Done:
    from raynas.cli.export_run import run_export  # imports torch

    return OK, run_export(request, Console())


def _convert(request: ConvertRequest) -> Done:
    from raynas.cli.convert_run import run_convert  # imports torch

    return OK, run_convert(request, Console())


def _blocks(request: BlocksRequest) -> Done:
    say(f"Blocks of {request.model.name} on {request.data}; everything goes to {shown(request.path)}", Console())
    from raynas.cli.blocks_run import run_blocks  # imports torch and Ray

    return OK, run_blocks(request, Console())


def _compress(request: CompressRequest) -> Done:
    console = Console()
    say(f"{request.title}; everything goes to {shown(request.run.path)}", console)
    start = RayStart() if request.run.address is None else None
    from raynas.cli.compress_run import run_compress  # imports torch and Ray Tune

    answer = run_compress(request, console, start)
    return OK if answer.best else NO_RESULT, answer


def _mine(request: MineRequest) -> Done:
    say(f"Members of {request.model.name} on {request.data}; everything goes to {shown(request.path)}", Console())
    from raynas.cli.mine_run import run_mine  # imports torch and Ray

    return OK, run_mine(request, Console())


def _profile(request: ProfileRequest) -> Done:
    from raynas.cli.profile_run import run_profile  # imports torch

    return OK, run_profile(request, Console())


def _track(request: TrackRequest) -> Done:
    from raynas.run.track import track  # imports torch

    track(request.search, request.trackers)
    say(f"{shown(request.search)} is in {' and '.join(request.trackers)}", Console())
    return OK, TrackAnswer(search=str(request.search), trackers=list(request.trackers))


def _propose(request: StudyRequest) -> Done:
    from raynas.cli.study_run import run_propose  # imports torch

    return OK, run_propose(request, Console())


def _observe(request: StudyRequest) -> Done:
    from raynas.cli.study_run import run_observe  # imports torch

    return OK, run_observe(request, Console())


def _archive(request: ArchiveRequest) -> Done:
    from raynas.cli.archive_run import run_archive  # imports torch

    return OK, run_archive(request, Console())


def search_answer(summary: "Summary") -> SearchAnswer:
    """Return the facts of a report in types of JSON."""
    from raynas.views.report.files import as_json

    return msgspec.convert(as_plain(as_json(summary)), SearchAnswer)
